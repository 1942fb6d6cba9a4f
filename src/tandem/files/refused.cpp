#include "tandem/files/refused.h"

namespace tandem {

RefusedModel::RefusedModel(std::string_view source, std::string_view done,
                           std::vector<RefusedNode> refused, std::optional<Module> rest,
                           std::vector<std::string> deciding_inputs)
    : Error([&] {
        std::string text =
            concat(source, ": ", refused.size(), refused.size() == 1 ? " node" : " nodes",
                   " cannot be ", done, ":");
        constexpr std::size_t kMostNamed = 1000;
        for (const RefusedNode& node : refused) {
          if (&node == refused.data() + kMostNamed) {
            text += concat("\n  and ", refused.size() - kMostNamed, " more");
            break;
          }
          text += concat("\n  node '", node.node, "' (", node.op, "): ", node.reason, "; ",
                         node.remedy);
        }
        return text;
      }()),
      nodes_(std::move(refused)),
      rest_(std::move(rest)),
      deciding_inputs_(std::move(deciding_inputs)) {}

}  // namespace tandem
