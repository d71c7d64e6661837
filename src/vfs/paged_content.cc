#include "vfs/paged_content.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace pglite::vfs {

namespace {

constexpr size_t kPageSize = PagedContent::kPageSize;
constexpr uint64_t kDensePages = (uint64_t{1} << 30) / kPageSize;

bool all_zeros(std::span<const std::byte> bytes) {
  // Compares the bytes with themselves one further on: memcmp runs at memory speed, and data that
  // is not zero nearly always shows in the first bytes.
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

// Owned pages are our own allocations, kept behind the same pointer as borrowed ones.
std::byte* writable(const std::byte* owned) {
  return const_cast<std::byte*>(owned);
}

}  // namespace

PagedContent::~PagedContent() {
  for (Page& page : dense_) release(page);
  for (auto& [index, page] : sparse_) release(page);
}

const PagedContent::Page* PagedContent::find(uint64_t index) const {
  if (index < dense_.size()) return dense_[index].data != nullptr ? &dense_[index] : nullptr;
  if (index < kDensePages || sparse_.empty()) return nullptr;
  const auto found = sparse_.find(index);
  return found != sparse_.end() && found->second.data != nullptr ? &found->second : nullptr;
}

PagedContent::Page& PagedContent::find_or_add(uint64_t index) {
  if (index >= kDensePages) return sparse_[index];
  if (index >= dense_.size()) dense_.resize(index + 1);
  return dense_[index];
}

void PagedContent::release(Page& page) {
  if (page.data == nullptr) return;
  if (page.owned) {
    budget_->pages.give_back(page.data);
    budget_->used -= kPageSize;
  }
  page = Page{};
  --page_count_;
}

bool PagedContent::make_owned(Page& page) {
  if (page.owned) return true;
  if (budget_->capacity - budget_->used < kPageSize) return false;
  std::byte* bytes = budget_->pages.take();
  if (bytes == nullptr) return false;
  if (page.length > 0) std::memcpy(bytes, page.data, page.length);
  std::memset(bytes + page.length, 0, kPageSize - page.length);
  budget_->used += kPageSize;
  if (page.data == nullptr) ++page_count_;
  page = Page{.data = bytes, .length = kPageSize, .owned = true};
  return true;
}

size_t PagedContent::read(std::span<std::byte> buffer, uint64_t offset) const {
  if (offset >= size_) return 0;
  const size_t count = std::min<uint64_t>(buffer.size(), size_ - offset);
  size_t done = 0;
  while (done < count) {
    const size_t begin = (offset + done) % kPageSize;
    const size_t piece = std::min(count - done, kPageSize - begin);
    std::byte* out = buffer.data() + done;
    const Page* page = find((offset + done) / kPageSize);
    const size_t there =
        page != nullptr && page->length > begin ? std::min(piece, page->length - begin) : 0;
    if (there > 0) std::memcpy(out, page->data + begin, there);
    if (there < piece) std::memset(out + there, 0, piece - there);
    done += piece;
  }
  return count;
}

bool PagedContent::write_page(uint64_t index, size_t begin, std::span<const std::byte> data) {
  if (find(index) == nullptr && all_zeros(data)) return true;
  try {
    Page& page = find_or_add(index);
    if (!make_owned(page)) return false;
    std::memcpy(writable(page.data) + begin, data.data(), data.size());
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

Result<size_t> PagedContent::write(std::span<const std::byte> data, uint64_t offset) {
  if (data.empty()) return 0;
  if (offset > kMaximumSize || data.size() > kMaximumSize - offset) {
    return error(std::errc::file_too_large);
  }
  size_t done = 0;
  while (done < data.size()) {
    const size_t begin = (offset + done) % kPageSize;
    const size_t piece = std::min(data.size() - done, kPageSize - begin);
    if (!write_page((offset + done) / kPageSize, begin, data.subspan(done, piece))) break;
    done += piece;
  }
  if (done == 0) return error(std::errc::no_space_on_device);
  size_ = std::max(size_, offset + done);
  return done;
}

Result<void> PagedContent::truncate(uint64_t size) {
  if (size > kMaximumSize) return error(std::errc::file_too_large);
  if (size < size_) {
    const uint64_t keep = (size + kPageSize - 1) / kPageSize;
    for (uint64_t i = keep; i < dense_.size(); ++i) release(dense_[i]);
    if (keep == 0) {
      dense_ = {};
    } else if (keep < dense_.size()) {
      dense_.resize(keep);
    }
    const auto beyond = sparse_.lower_bound(keep);
    for (auto page = beyond; page != sparse_.end(); ++page) release(page->second);
    sparse_.erase(beyond, sparse_.end());

    // Growing again must show zeros, not what was cut off.
    const size_t end = size % kPageSize;
    if (end != 0 && find(size / kPageSize) != nullptr) {
      Page& last = find_or_add(size / kPageSize);
      if (last.owned) {
        std::memset(writable(last.data) + end, 0, kPageSize - end);
      } else {
        last.length = std::min(last.length, static_cast<uint32_t>(end));
      }
    }
  }
  size_ = size;
  return {};
}

void PagedContent::borrow(uint64_t index, std::span<const std::byte> bytes) {
  Page& page = find_or_add(index);
  release(page);
  if (bytes.empty()) return;
  page = Page{.data = bytes.data(), .length = static_cast<uint32_t>(bytes.size()), .owned = false};
  ++page_count_;
}

void PagedContent::reserve(uint64_t pages) {
  dense_.reserve(std::min(pages, kDensePages));
}

void PagedContent::for_each_page(
    const std::function<void(uint64_t, std::span<const std::byte>)>& visit) const {
  for (size_t i = 0; i < dense_.size(); ++i) {
    if (dense_[i].data != nullptr) visit(i, {dense_[i].data, dense_[i].length});
  }
  for (const auto& [index, page] : sparse_) {
    if (page.data != nullptr) visit(index, {page.data, page.length});
  }
}

}  // namespace pglite::vfs
