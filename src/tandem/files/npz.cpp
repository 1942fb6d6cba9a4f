#include <array>
#include <memory>
#include <set>

#include <zip.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/numpy.h"

namespace tandem {
namespace {

constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 32;  // of all arrays together
constexpr zip_int64_t kMostEntries = 65536;

struct ArchiveDiscard {
  void operator()(zip_t* archive) const { zip_discard(archive); }
};
struct EntryClose {
  void operator()(zip_file_t* entry) const { zip_fclose(entry); }
};
struct SourceFree {
  void operator()(zip_source_t* source) const { zip_source_free(source); }
};
using Archive = std::unique_ptr<zip_t, ArchiveDiscard>;
using Entry = std::unique_ptr<zip_file_t, EntryClose>;
using Source = std::unique_ptr<zip_source_t, SourceFree>;

class ZipFailure {
 public:
  ZipFailure() { zip_error_init(&error_); }
  ~ZipFailure() { zip_error_fini(&error_); }
  ZipFailure(const ZipFailure&) = delete;
  ZipFailure& operator=(const ZipFailure&) = delete;
  zip_error_t* get() { return &error_; }
  std::string text() { return zip_error_strerror(&error_); }

 private:
  zip_error_t error_;
};

// Opens an archive over a buffer of libzip; a successful open takes the source over.
Archive open_archive(Source source, int flags) {
  ZipFailure failure;
  zip_t* archive = zip_open_from_source(source.get(), flags, failure.get());
  if (archive == nullptr) throw Error("not a readable .npz (zip) archive: ", failure.text());
  [[maybe_unused]] const zip_source_t* taken = source.release();
  return Archive(archive);
}

Source buffer_source(ByteSpan bytes) {
  ZipFailure failure;
  Source source(zip_source_buffer_create(bytes.data(), bytes.size(), 0, failure.get()));
  if (!source) throw Error("cannot open the archive: ", failure.text());
  return source;
}

// The size that an archive declares is not trusted: the entry is read until it ends.
std::vector<std::byte> read_entry(zip_t* archive, zip_uint64_t index, std::uint64_t limit) {
  const Entry entry(zip_fopen_index(archive, index, 0));
  if (!entry) throw Error("cannot be opened: ", zip_strerror(archive));
  std::vector<std::byte> bytes;
  std::array<std::byte, 1 << 16> chunk;
  for (;;) {
    const zip_int64_t got = zip_fread(entry.get(), chunk.data(), chunk.size());
    if (got < 0) throw Error("cannot be read: ", zip_file_strerror(entry.get()));
    if (got == 0) return bytes;
    if (bytes.size() + static_cast<std::uint64_t>(got) > limit)
      throw Error("the arrays of the archive together exceed ", kMostBytes, " bytes");
    bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + got);
  }
}

std::string array_name(std::string_view entry_name) {
  constexpr std::string_view kSuffix = ".npy";
  if (!entry_name.ends_with(kSuffix))
    throw Error("is no .npy array; an .npz archive holds nothing else");
  return std::string(entry_name.substr(0, entry_name.size() - kSuffix.size()));
}

NamedTensors parse_npz(ByteSpan bytes) {
  const Archive archive = open_archive(buffer_source(bytes), ZIP_RDONLY);
  const zip_int64_t entries = zip_get_num_entries(archive.get(), 0);
  if (entries > kMostEntries) throw Error(entries, " entries; at most ", kMostEntries, " are read");
  NamedTensors arrays;
  std::set<std::string> names;
  std::uint64_t left = kMostBytes;
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(entries); ++i) {
    const char* raw_name = zip_get_name(archive.get(), i, 0);
    const std::string entry_name = raw_name == nullptr ? "" : raw_name;
    try {
      const std::string name = array_name(entry_name);
      if (!names.insert(name).second) throw Error("occurs twice");
      const auto content = read_entry(archive.get(), i, left);
      left -= content.size();
      arrays.emplace_back(name, read_npy(content, "array"));
    } catch (const Error& error) {
      throw error.at(concat("entry '", entry_name, "'"));
    }
  }
  return arrays;
}

void add_entry(zip_t* archive, const std::string& name, const std::string& content) {
  zip_source_t* source = zip_source_buffer(archive, content.data(), content.size(), 0);
  ensure(source != nullptr, "libzip gave no source for an entry");
  const zip_int64_t index = zip_file_add(archive, name.c_str(), source, ZIP_FL_ENC_UTF_8);
  if (index < 0) {
    zip_source_free(source);
    throw Error("cannot add '", name, "' to an .npz archive: ", zip_strerror(archive));
  }
  // A fixed date, so that equal arrays make equal files: 1 January 1980, where zip's dates begin.
  constexpr zip_uint16_t kFirstDay = 0x21;
  const auto at = static_cast<zip_uint64_t>(index);
  ensure(zip_set_file_compression(archive, at, ZIP_CM_STORE, 0) == 0 &&
             zip_file_set_dostime(archive, at, 0, kFirstDay, 0) == 0,
         "libzip refused the settings of an entry");
}

std::string content_of(zip_source_t* source) {
  zip_stat_t status;
  zip_stat_init(&status);
  ensure(zip_source_stat(source, &status) == 0 && (status.valid & ZIP_STAT_SIZE) != 0,
         "libzip gave no size for a written archive");
  std::string bytes(status.size, '\0');
  ensure(zip_source_open(source) == 0, "libzip cannot reopen a written archive");
  std::size_t done = 0;
  while (done < bytes.size()) {
    const zip_int64_t got = zip_source_read(source, &bytes[done], bytes.size() - done);
    ensure(got > 0, "libzip cannot read a written archive");
    done += static_cast<std::size_t>(got);
  }
  zip_source_close(source);
  return bytes;
}

}  // namespace

NamedTensors read_npz(ByteSpan bytes, std::string_view source) {
  try {
    return parse_npz(bytes);
  } catch (const Error& error) {
    throw error.at(source);
  }
}

NamedTensors read_npz(const std::filesystem::path& path) {
  return read_npz(read_file_bytes(path), path.string());
}

std::string write_npz(const NamedTensors& arrays) {
  // libzip makes no file for an archive without entries; it is this record alone.
  if (arrays.empty()) return std::string("PK\5\6", 4) + std::string(18, '\0');
  Source source = buffer_source({});
  zip_source_keep(source.get());
  const Source kept(source.get());
  Archive archive = open_archive(std::move(source), ZIP_CREATE | ZIP_TRUNCATE);
  std::vector<std::string> contents;  // libzip reads them when it closes the archive
  contents.reserve(arrays.size());
  std::set<std::string> names;
  for (const auto& [name, tensor] : arrays) {
    if (!names.insert(name).second) throw Error("two arrays of an .npz are named '", name, "'");
    contents.push_back(write_npy(tensor));
    add_entry(archive.get(), name + ".npy", contents.back());
  }
  if (zip_close(archive.get()) != 0)
    throw Error("cannot write an .npz archive: ", zip_strerror(archive.get()));
  [[maybe_unused]] const zip_t* closed = archive.release();
  return content_of(kept.get());
}

const Tensor& find_array(const NamedTensors& arrays, std::string_view name,
                         std::string_view source) {
  std::vector<std::string> names;
  for (const auto& [known, tensor] : arrays) {
    if (known == name) return tensor;
    names.push_back(known);
  }
  throw Error(source, " holds no array '", name, "'", suggestion(name, names));
}

}  // namespace tandem
