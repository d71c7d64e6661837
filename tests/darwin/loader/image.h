// A Mach-O program for x86-64, in this process's memory.
#ifndef PGLITE_TESTS_DARWIN_LOADER_IMAGE_H_
#define PGLITE_TESTS_DARWIN_LOADER_IMAGE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace pglite::loader {

class Image {
 public:
  // What a symbol is bound to.
  using Resolve = std::function<const void*(const char* name)>;

  // Mapped where the system has room, as the system's own loader places programs at random. Throws
  // std::runtime_error, and std::system_error, for what is not such a program.
  explicit Image(const std::string& path);
  Image(const Image&) = delete;
  Image& operator=(const Image&) = delete;

  void bind(const Resolve& resolve);
  // Behind the last change of what the program takes for constant.
  void protect();

  using Main = int (*)(int, char**, char**, char**);
  using Initialiser = void (*)(int, char**, char**, char**, const void*);
  [[nodiscard]] Main main() const;
  [[nodiscard]] std::vector<Initialiser> initialisers() const;
  // What each thread's variables are at its start.
  [[nodiscard]] std::span<const std::byte> thread_template() const;
  [[nodiscard]] size_t thread_size() const { return thread_size_; }
  [[nodiscard]] const std::byte* begin() const { return begin_; }
  [[nodiscard]] std::span<const std::byte> unwind_information() const;
  [[nodiscard]] bool contains(const void* address) const;

 private:
  struct Segment {
    std::byte* start;
    uint64_t size;
    int protection;
    bool is_read_only_later;
  };
  struct Section {
    std::byte* start = nullptr;
    uint64_t size = 0;
  };

  void map(int fd, std::span<const std::byte> file);
  void rebase(std::span<const std::byte> opcodes);
  void bind(std::span<const std::byte> opcodes, bool is_lazy, const Resolve& resolve);
  [[nodiscard]] std::byte* place(size_t segment, uint64_t offset) const;

  std::vector<Segment> segments_;
  std::byte* begin_ = nullptr;
  uint64_t size_ = 0;
  uint64_t slide_ = 0;
  uint64_t entry_ = 0;
  Section initialisers_;
  Section unwind_;
  Section thread_data_;
  uint64_t thread_size_ = 0;
  std::vector<std::byte> bind_opcodes_;
  std::vector<std::byte> lazy_bind_opcodes_;
};

}  // namespace pglite::loader

#endif  // PGLITE_TESTS_DARWIN_LOADER_IMAGE_H_
