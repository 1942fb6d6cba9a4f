#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/device/device.h"

namespace tandem {
namespace {

// The folder in a Python package: beside the extension of which this code is part.
std::filesystem::path packaged_devices() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&device_folders), &info) == 0) return {};
  return std::filesystem::path(info.dli_fname).parent_path() / "devices";
}

}  // namespace

std::vector<std::string> device_folders() {
  std::vector<std::string> folders;
  std::error_code failure;
  if (const char* variable = std::getenv("TANDEM_DEVICES"); variable != nullptr)
    for (const std::string& folder : split(variable, ':')) {
      if (!std::filesystem::is_directory(folder, failure))
        throw Error("TANDEM_DEVICES: '", folder,
                    "' is not a folder; correct or unset the variable");
      folders.push_back(folder);
    }
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", failure);
  const std::filesystem::path beside =
      program.parent_path().parent_path() / "share" / "tandem" / "devices";
  for (const std::string& folder :
       {beside.string(), packaged_devices().string(), std::string(TANDEM_DEVICES_SOURCE),
        std::string(TANDEM_DEVICES_INSTALLED)})
    if (std::filesystem::is_directory(folder, failure)) folders.push_back(folder);
  return folders;
}

}  // namespace tandem
