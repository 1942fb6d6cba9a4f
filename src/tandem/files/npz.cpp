#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <set>

#include <zip.h>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/files/npy_header.h"
#include "tandem/files/numpy.h"
#include "tandem/files/stored_array.h"

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
template <typename Take>
std::uint64_t unpack_entry(zip_t* archive, zip_uint64_t index, std::uint64_t limit,
                           const Take& take) {
  const Entry entry(zip_fopen_index(archive, index, 0));
  if (!entry) throw Error("cannot be opened: ", zip_strerror(archive));
  std::uint64_t size = 0;
  std::array<std::byte, 1 << 16> chunk;
  for (;;) {
    const zip_int64_t got = zip_fread(entry.get(), chunk.data(), chunk.size());
    if (got < 0) throw Error("cannot be read: ", zip_file_strerror(entry.get()));
    if (got == 0) return size;
    size += static_cast<std::uint64_t>(got);
    if (size > limit)
      throw Error("the arrays of the archive together exceed ", kMostBytes, " bytes");
    take(ByteSpan(chunk.data(), static_cast<std::size_t>(got)));
  }
}

std::vector<std::byte> read_entry(zip_t* archive, zip_uint64_t index, std::uint64_t limit) {
  std::vector<std::byte> bytes;
  unpack_entry(archive, index, limit,
               [&](ByteSpan chunk) { bytes.insert(bytes.end(), chunk.begin(), chunk.end()); });
  return bytes;
}

std::string array_name(std::string_view entry_name) {
  constexpr std::string_view kSuffix = ".npy";
  if (!entry_name.ends_with(kSuffix))
    throw Error("is no .npy array; an .npz archive holds nothing else");
  return std::string(entry_name.substr(0, entry_name.size() - kSuffix.size()));
}

// Calls `take(index, name)` for each entry, whose errors name it.
template <typename Take>
void for_each_array(zip_t* archive, const Take& take) {
  const zip_int64_t entries = zip_get_num_entries(archive, 0);
  if (entries > kMostEntries) throw Error(entries, " entries; at most ", kMostEntries, " are read");
  std::set<std::string> names;
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(entries); ++i) {
    const char* raw_name = zip_get_name(archive, i, 0);
    const std::string entry_name = raw_name == nullptr ? "" : raw_name;
    try {
      const std::string name = array_name(entry_name);
      if (!names.insert(name).second) throw Error("occurs twice");
      take(i, name);
    } catch (const Error& error) {
      throw error.at(concat("entry '", entry_name, "'"));
    }
  }
}

NamedTensors parse_npz(ByteSpan bytes) {
  const Archive archive = open_archive(buffer_source(bytes), ZIP_RDONLY);
  NamedTensors arrays;
  std::uint64_t left = kMostBytes;
  for_each_array(archive.get(), [&](zip_uint64_t index, const std::string& name) {
    const auto content = read_entry(archive.get(), index, left);
    left -= content.size();
    arrays.emplace_back(name, read_npy(content, "array"));
  });
  return arrays;
}

// ---- Arrays that stay in the file --------------------------------------------------------------

// An archive in a file, whose entries are read by one thread at a time.
struct SharedArchive {
  Archive archive;
  std::mutex mutex;
};

Archive open_archive_file(const std::filesystem::path& path) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_RDONLY, &code);
  if (archive != nullptr) return Archive(archive);
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  const std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  throw Error("not a readable .npz (zip) archive: ", text);
}

// Whether the bytes of an entry lie in the archive as they are.
bool lies_open(zip_t* archive, zip_uint64_t index) {
  zip_stat_t status;
  zip_stat_init(&status);
  if (zip_stat_index(archive, index, 0, &status) != 0) return false;
  const auto known = status.valid;
  return (known & ZIP_STAT_COMP_METHOD) != 0 && status.comp_method == ZIP_CM_STORE &&
         ((known & ZIP_STAT_ENCRYPTION_METHOD) == 0 || status.encryption_method == ZIP_EM_NONE);
}

using ReadBytes = std::function<void(std::uint64_t offset, std::span<std::byte> to)>;

ReadBytes entry_reader(const std::shared_ptr<SharedArchive>& shared, zip_uint64_t index) {
  const std::shared_ptr<zip_file_t> entry(zip_fopen_index(shared->archive.get(), index, 0),
                                          EntryClose());
  if (!entry) throw Error("cannot be opened: ", zip_strerror(shared->archive.get()));
  return [shared, entry](std::uint64_t offset, std::span<std::byte> to) {
    const std::lock_guard lock(shared->mutex);
    if (zip_fseek(entry.get(), static_cast<zip_int64_t>(offset), SEEK_SET) != 0)
      throw Error("cannot be read: ", zip_file_strerror(entry.get()));
    while (!to.empty()) {
      const zip_int64_t got = zip_fread(entry.get(), to.data(), to.size());
      if (got < 0) throw Error("cannot be read: ", zip_file_strerror(entry.get()));
      if (got == 0) throw Error("ends before its last element; the file is truncated");
      to = to.subspan(static_cast<std::size_t>(got));
    }
  };
}

// The entry unpacked into a file of its own.
ReadBytes unpacked_reader(zip_t* archive, zip_uint64_t index, std::uint64_t& left) {
  const auto file = OpenFile::temporary();
  left -= unpack_entry(archive, index, left, [&](ByteSpan chunk) { file->append(chunk); });
  return [file](std::uint64_t offset, std::span<std::byte> to) { file->read(offset, to); };
}

NpyHeader header_from(const ReadBytes& read, std::uint64_t size) {
  std::vector<std::byte> bytes(std::min<std::uint64_t>(size, kNpyPrefix));
  read(0, bytes);
  const std::uint64_t length = npy_header_size(bytes);
  if (length > size) throw Error("truncated in the header");
  bytes.resize(length);
  read(0, bytes);
  const NpyHeader header = parse_npy_header(bytes);
  const std::uint64_t wanted = header.element_bytes(), given = size - length;
  if (given != wanted) {
    throw Error(given, " bytes of elements where ", header.type, to_string(header.shape), " has ",
                wanted, given < wanted ? "; the file is truncated" : "");
  }
  return header;
}

StoredArray stored_entry(const std::shared_ptr<SharedArchive>& shared, zip_uint64_t index,
                         const std::string& name, std::uint64_t& left) {
  zip_t* archive = shared->archive.get();
  const std::uint64_t before = left;
  const bool open = lies_open(archive, index);
  const ReadBytes read = open ? entry_reader(shared, index) : unpacked_reader(archive, index, left);
  std::uint64_t size = before - left;
  if (open) {
    zip_stat_t status;
    zip_stat_init(&status);
    ensure(zip_stat_index(archive, index, 0, &status) == 0, "an entry without a size");
    size = status.size;
  }
  const NpyHeader header = header_from(read, size);
  if (header.fortran_order && header.shape.size() > 1) {
    std::vector<std::byte> content(size);
    read(0, content);
    return rows_of(read_npy(content, "array"), name);
  }
  const ReadBytes named = [read, name](std::uint64_t offset, std::span<std::byte> to) {
    try {
      read(offset, to);
    } catch (const Error& error) {
      throw error.at(concat("array '", name, "'"));
    }
  };
  return rows_of({named, header.offset, header.swapped}, name, header.format, header.shape);
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

std::vector<StoredArray> stored_npz(const std::filesystem::path& path) {
  try {
    regular_file_size(path);
    const auto shared = std::make_shared<SharedArchive>();
    shared->archive = open_archive_file(path);
    std::vector<StoredArray> arrays;
    std::uint64_t left = kMostBytes;
    for_each_array(shared->archive.get(), [&](zip_uint64_t index, const std::string& name) {
      arrays.push_back(stored_entry(shared, index, name, left));
    });
    return arrays;
  } catch (const Error& error) {
    throw error.at(path.string());
  }
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
