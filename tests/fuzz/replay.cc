// Runs a target without libFuzzer, on its seeds and on the files and directories that are named:
// what once crashed must not crash again. `--write-seeds DIRECTORY` writes the seeds instead.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>

#include "target.h"

namespace {

namespace fs = std::filesystem;

void run(const std::string& name, const std::string& input) {
  std::cerr << name << ", " << input.size() << " bytes\n";
  // From memory of exactly that size, as libFuzzer does it.
  const std::vector<char> copy = pglite::fuzz::exact_copy(input);
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(copy.data()), copy.size());
}

void run_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::cerr << path << " cannot be read\n";
    std::exit(2);
  }
  run(path, {std::istreambuf_iterator<char>(file), {}});
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const std::vector<std::string> seeds = pglite::fuzz::seeds();
  if (arguments.size() == 2 && arguments[0] == "--write-seeds") {
    fs::create_directories(arguments[1]);
    for (size_t i = 0; i < seeds.size(); ++i) {
      std::ofstream(fs::path(arguments[1]) / ("seed-" + std::to_string(i)), std::ios::binary)
          << seeds[i];
    }
    return 0;
  }
  for (size_t i = 0; i < seeds.size(); ++i) run("seed " + std::to_string(i), seeds[i]);
  run("nothing", "");
  for (const std::string& argument : arguments) {
    if (!fs::is_directory(argument)) {
      run_file(argument);
      continue;
    }
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(argument)) paths.push_back(entry.path());
    std::ranges::sort(paths);
    for (const fs::path& path : paths) run_file(path);
  }
  return 0;
}
