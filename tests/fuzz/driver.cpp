// Runs a fuzz target without libFuzzer, so that every compiler and every sanitizer build fuzzes a
// little in the default suite: first each file of the corpus as it is, then mutations of them with
// a fixed seed, the same on every machine (tools/fuzz_long.py runs many seeds). A crash leaves the
// input in ./crash-<target>.

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

using Input = std::vector<std::uint8_t>;

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
__attribute__((weak)) std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                                          std::size_t max_size, unsigned seed);
// What libFuzzer offers to custom mutators: one random change of the bytes, the new size.
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);
}

namespace {

constexpr std::size_t kMaxSize = 1 << 16;

std::mt19937_64& generator() {
  static std::mt19937_64 engine(1);
  return engine;
}

std::size_t below(std::size_t bound) { return bound == 0 ? 0 : generator()() % bound; }

// The input under test, for the handler of fatal signals.
struct Running {
  const Input* input = nullptr;
  std::string crash_file;
} running;

void save_and_abort(int signal) {
  if (running.input != nullptr) {
    std::ofstream file(running.crash_file, std::ios::binary);
    file.write(reinterpret_cast<const char*>(running.input->data()),
               static_cast<std::streamsize>(running.input->size()));
    file.close();
    std::cerr << "the input is in " << running.crash_file << "\n";
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

Input read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Input(std::istreambuf_iterator<char>(file), {});
}

std::vector<Input> read_corpus(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  std::vector<Input> corpus;
  for (const auto& path : paths) corpus.push_back(read_file(path));
  return corpus;
}

void run_one(const Input& input) {
  running.input = &input;
  try {
    LLVMFuzzerTestOneInput(input.data(), input.size());
  } catch (const std::exception& error) {
    std::cerr << "an exception left the target: " << error.what() << "\n";
    save_and_abort(SIGABRT);
  }
  running.input = nullptr;
}

// In memory that is used again, since an input takes microseconds and is small.
Input mutated(const Input& seed) {
  static Input memory(kMaxSize);
  const std::size_t size = std::min(seed.size(), kMaxSize);
  std::copy_n(seed.begin(), size, memory.begin());
  const std::size_t changed = LLVMFuzzerCustomMutator != nullptr
                                  ? LLVMFuzzerCustomMutator(memory.data(), size, kMaxSize,
                                                            static_cast<unsigned>(generator()()))
                                  : LLVMFuzzerMutate(memory.data(), size, kMaxSize);
  return {memory.begin(), memory.begin() + static_cast<std::ptrdiff_t>(changed)};
}

}  // namespace

std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size) {
  static constexpr std::uint8_t kNotable[] = {0x00, 0x01, 0x7f, 0x80, 0xff,
                                              '-',  '0',  '"',  '[',  '\n'};
  const std::size_t at = below(size);
  const std::size_t length = 1 + below(std::min<std::size_t>(8, size - at));
  switch (below(5)) {
    case 0:
      if (size == 0) return size;
      data[at] = static_cast<std::uint8_t>(data[at] ^ (1u << below(8)));
      return size;
    case 1:
      if (size == 0) return size;
      data[at] = kNotable[below(std::size(kNotable))];
      return size;
    case 2:
      if (size >= max_size) return size;
      std::copy_backward(data + at, data + size, data + size + 1);
      data[at] = static_cast<std::uint8_t>(below(256));
      return size + 1;
    case 3:
      if (size <= length) return size;
      std::copy(data + at + length, data + size, data + at);
      return size - length;
    default:
      if (size == 0) return size;
      for (std::size_t i = 0; i < length; ++i) data[at + i] = data[below(size)];
      return size;
  }
}

int main(int argc, char** argv) try {
  const bool has_seed = argc == 6 && std::string_view(argv[4]) == "--seed";
  if ((argc != 4 && !has_seed) || std::string_view(argv[1]) != "--inputs") {
    std::cerr << "usage: " << argv[0] << " --inputs N CORPUS_FOLDER [--seed S]\n";
    return 2;
  }
  if (has_seed) generator().seed(std::stoul(argv[5]));
  const std::size_t inputs = std::stoul(argv[2]);
  const std::vector<Input> corpus = read_corpus(argv[3]);
  if (corpus.empty()) {
    std::cerr << argv[3] << " has no files to start from\n";
    return 2;
  }
  running.crash_file = "crash-" + std::filesystem::path(argv[0]).filename().string();
  for (const int signal : {SIGABRT, SIGSEGV, SIGFPE, SIGBUS, SIGILL}) {
    std::signal(signal, save_and_abort);
  }
  for (const Input& input : corpus) run_one(input);
  for (std::size_t run = corpus.size(); run < inputs; ++run) {
    Input input = mutated(corpus[below(corpus.size())]);
    while (below(3) == 0) input = mutated(input);
    run_one(input);
  }
  std::cout << std::max(inputs, corpus.size()) << " inputs, " << corpus.size()
            << " of them from the corpus\n";
  return 0;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
