#include "tandem/base/file.h"

#include <algorithm>
#include <csignal>
#include <fstream>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tandem/base/error.h"

namespace tandem {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder))
    names.push_back(entry.path().filename().string());
  return names;
}

// While it lives, no file can grow beyond some bytes, as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  rlimit before_{};
  void (*handler_)(int);
};

class FileTest : public ::testing::Test {
 protected:
  const fs::path& root() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
};

TEST_F(FileTest, ReadsWhatWasWritten) {
  std::string content(200'000, 'x');
  content[7] = '\0';
  write_file_atomic(root() / "a", content);
  EXPECT_EQ(read_file(root() / "a"), content);
  write_file_atomic(root() / "a", "");
  EXPECT_EQ(read_file(root() / "a"), "");
  EXPECT_THAT(names_in(root()), UnorderedElementsAre("a"));
}

TEST_F(FileTest, ReadsFilesWithoutAKnownSize) {
  EXPECT_FALSE(read_file("/proc/self/stat").empty());
}

TEST_F(FileTest, ReadErrorsNamePathAndReason) {
  const std::string missing = (root() / "missing").string();
  EXPECT_THAT([&] { read_file(missing); },
              ThrowsMessage<Error>(AllOf(HasSubstr(missing), HasSubstr("No such file"))));
  EXPECT_THAT([&] { read_file(root()); }, ThrowsMessage<Error>(HasSubstr("Is a directory")));
}

TEST_F(FileTest, AFullDiskLeavesTheEarlierFile) {
  write_file_atomic(root() / "a", "earlier");
  {
    const FileSizeLimit limit(1000);
    EXPECT_THAT([&] { write_file_atomic(root() / "a", std::string(5000, 'x')); },
                ThrowsMessage<Error>(AllOf(HasSubstr("cannot write"), HasSubstr("too large"))));
  }
  EXPECT_EQ(read_file(root() / "a"), "earlier");
  EXPECT_THAT(names_in(root()), UnorderedElementsAre("a"));
}

TEST_F(FileTest, DevicesAreWrittenDirectlyAndReportFailure) {
  EXPECT_THAT([] { write_file_atomic("/dev/full", "x"); },
              ThrowsMessage<Error>(HasSubstr("No space left")));
  write_file_atomic("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/full"));
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
}

TEST_F(FileTest, MissingFoldersAreErrors) {
  EXPECT_THAT([&] { write_file_atomic(root() / "no" / "a", "x"); },
              ThrowsMessage<Error>(HasSubstr("No such file")));
  EXPECT_THAT([&] { write_file_atomic(root(), "x"); },
              ThrowsMessage<Error>(HasSubstr("Is a directory")));
}

TEST_F(FileTest, KeepsModesAndLinks) {
  write_file_atomic(root() / "a", "1");
  struct stat status {};
  ASSERT_EQ(stat((root() / "a").c_str(), &status), 0);
  const mode_t mask = umask(0);
  umask(mask);
  EXPECT_EQ(status.st_mode & 0777, 0666 & ~mask);

  fs::permissions(root() / "a", fs::perms::owner_all);
  fs::create_symlink("a", root() / "link");
  write_file_atomic(root() / "link", "2");
  EXPECT_TRUE(fs::is_symlink(root() / "link"));
  EXPECT_EQ(read_file(root() / "a"), "2");
  EXPECT_EQ(fs::status(root() / "a").permissions(), fs::perms::owner_all);
}

TEST_F(FileTest, WritabilityIsCheckedInTheNearestExistingFolder) {
  EXPECT_NO_THROW(check_writable_folder(root() / "new" / "deeper"));
  EXPECT_THAT(names_in(root()), UnorderedElementsAre());
  write_file_atomic(root() / "file", "x");
  EXPECT_THAT([&] { check_writable_folder(root() / "file" / "sub"); },
              ThrowsMessage<Error>(HasSubstr("Not a directory")));
  // Not even root may write there.
  EXPECT_THAT([] { check_writable_folder("/proc/self"); },
              ThrowsMessage<Error>(HasSubstr("/proc/self")));
}

TEST_F(FileTest, TemporaryFoldersGoWithTheirContent) {
  fs::path path;
  {
    const TemporaryFolder folder;
    path = folder.path();
    write_file_atomic(path / "a", "x");
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(FileTest, OutputAppearsOnCommitOnly) {
  const fs::path place = root() / "out";
  OutputFolder output(place);
  write_file_atomic(output.path() / "a", "x");
  EXPECT_FALSE(fs::exists(place));
  output.commit();
  EXPECT_EQ(read_file(output.place() / "a"), "x");
  EXPECT_THAT(names_in(root()), UnorderedElementsAre("out"));
}

TEST_F(FileTest, OutputWithoutCommitLeavesNothing) {
  {
    OutputFolder output(root() / "new" / "deeper" / "out/");
    write_file_atomic(output.path() / "a", "x");
  }
  EXPECT_THAT(names_in(root()), UnorderedElementsAre());
}

TEST_F(FileTest, OutputReplacesEarlierOutputAsAWhole) {
  for (const char* name : {"first", "second"}) {
    OutputFolder output(root() / "out");
    write_file_atomic(output.path() / name, "x");
    output.commit();
  }
  EXPECT_THAT(names_in(root() / "out"),
              UnorderedElementsAre("second", std::string(OutputFolder::kMark)));
  EXPECT_THAT(names_in(root()), UnorderedElementsAre("out"));
}

TEST_F(FileTest, OutputKeepsForeignFilesUnlessTold) {
  const fs::path place = root() / "photos";
  fs::create_directory(place);
  EXPECT_NO_THROW(OutputFolder{place});
  write_file_atomic(place / "cat.png", "x");
  EXPECT_THAT([&] { OutputFolder{place}; },
              ThrowsMessage<Error>(AllOf(HasSubstr("photos"), HasSubstr("not an earlier output"))));
  EXPECT_THAT(names_in(root()), UnorderedElementsAre("photos"));
  { OutputFolder uncommitted(place, OutputFolder::Existing::kReplace); }
  EXPECT_THAT(names_in(place), UnorderedElementsAre("cat.png"));
  OutputFolder output(place, OutputFolder::Existing::kReplace);
  output.commit();
  EXPECT_THAT(names_in(place), UnorderedElementsAre(std::string(OutputFolder::kMark)));
}

TEST_F(FileTest, OutputRefusesFilesAndUnwritableParents) {
  write_file_atomic(root() / "file", "x");
  EXPECT_THAT([&] { OutputFolder{root() / "file"}; }, ThrowsMessage<Error>(HasSubstr("is a file")));
  EXPECT_THAT([&] { OutputFolder{root() / "file" / "out"}; },
              ThrowsMessage<Error>(HasSubstr("Not a directory")));
  EXPECT_THAT([] { OutputFolder{"/proc/out"}; },
              ThrowsMessage<Error>(StartsWith("output folder '/proc/out': cannot")));
  EXPECT_THAT([] { OutputFolder{"/"}; }, ThrowsMessage<Error>(HasSubstr("root folder")));
  EXPECT_THAT([] { OutputFolder{""}; }, ThrowsMessage<Error>(HasSubstr("empty name")));
}

}  // namespace
}  // namespace tandem
