#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/cli/table.h"
#include "tandem/cli/verbs.h"
#include "tandem/device/device.h"
#include "tandem/graph/registry.h"
#include "tandem/numerics/format_family.h"

namespace tandem {
namespace {

std::string kind_of(const Format& format) {
  return format.is_uniform() ? "uniform" : format.is_float() ? "floating point" : "listed numbers";
}

VerbResult list_formats() {
  VerbResult result;
  Json formats = Json::array();
  TextTable table({"format", "bits", "kind", "range or precision"});
  for (const FormatFamily* family : format_families()) {
    for (const std::string& example : family->examples()) {
      const Format format = Format::parse(example);
      Json entry{{"name", example}, {"bits", format.bits()}, {"uniform", format.is_uniform()}};
      std::string range;
      if (format.is_uniform()) {
        const IntegerRange integers = format.integer_range();
        entry["integers"] = {integers.min, integers.max};
        entry["exponent"] = format.exponent();
        range = concat("[", integers.min, ",", integers.max, "]");
        if (format.exponent() != 0) range += concat(" * 2^", format.exponent());
      }
      formats.push_back(entry);
      table.add({example, concat(format.bits()), kind_of(format), range});
    }
  }
  result.json["formats"] = formats;
  result.text =
      table.text() +
      "Names with numbers stand for a family: any width of int and uint from 1 to 64 "
      "bits, any fixed<width,fraction>, floating point e<exponent>m<mantissa> of 3 to 16 bits "
      "with a\nbias (e4m3b11) and specials (ieee, fn, fnuz, finite) of your choice.\n";
  return result;
}

VerbResult list_devices() {
  VerbResult result;
  Json devices = Json::array();
  TextTable table({"device", "kind", "title", "clock", "memories"});
  for (const std::string& name : device_names()) {
    const Device device = find_device(name);
    Json memories = Json::object();
    std::vector<std::string> texts;
    for (const Memory& memory : device.memories) {
      memories[memory.name] = memory.bytes;
      texts.push_back(concat(memory.name, " ", memory.bytes));
    }
    const bool is_default = default_device(device.kind()) == name;
    devices.push_back({{"name", name},
                       {"kind", device.kind()},
                       {"title", device.title},
                       {"clock_hertz", device.clock.hertz},
                       {"memory_bytes", memories},
                       {"default_of_kind", is_default}});
    table.add({name + (is_default ? " *" : ""), device.kind(), device.title,
               concat(device.clock.hertz / 1e6, " MHz"), join(texts, ", ")});
  }
  result.json["devices"] = devices;
  result.text = table.text() + "* used where --device is not given\n";
  return result;
}

std::string_view name_of(Domain domain) {
  switch (domain) {
    case Domain::kReal: return "real";
    case Domain::kInteger: return "integer";
    case Domain::kMovement: return "movement";
    case Domain::kBorder: return "border";
    case Domain::kIndex: return "index";
  }
  throw InternalError("unknown domain");
}

VerbResult list_operators() {
  VerbResult result;
  Json list = Json::array();
  TextTable table({"operator", "domain", "what it computes"});
  for (const Operator* op : operators().all()) {
    Json attributes = Json::array();
    for (const AttributeSpec& spec : op->attributes()) {
      Json attribute{{"name", spec.name},
                     {"kind", name(spec.kind)},
                     {"description", spec.description},
                     {"required", spec.default_value.empty()}};
      if (!spec.default_value.empty()) attribute["default"] = to_string(spec.default_value[0]);
      if (!spec.choices.empty()) attribute["choices"] = spec.choices;
      attributes.push_back(attribute);
    }
    const std::string_view domain = name_of(op->traits().domain);
    list.push_back({{"name", op->name()},
                    {"domain", domain},
                    {"description", op->description()},
                    {"attributes", attributes}});
    table.add({std::string(op->name()), std::string(domain), std::string(op->description())});
  }
  result.json["operators"] = list;
  result.text = table.text();
  return result;
}

class ListVerb final : public Verb {
 public:
  std::string name() const override { return "list"; }
  std::string summary() const override {
    return "List the formats, devices or operators that this build knows";
  }
  std::string examples() const override {
    return "  tandem list devices\n"
           "  tandem list operators --json";
  }
  void add_options(OptionTable& options) override {
    options.positional("WHAT", what_, "formats, devices or operators");
  }
  VerbResult run(const CommonOptions&) override {
    using List = VerbResult (*)();
    static const std::vector<std::pair<std::string, List>> kLists = {
        {"formats", list_formats}, {"devices", list_devices}, {"operators", list_operators}};
    std::vector<std::string> known;
    for (const auto& [name, list] : kLists) {
      known.push_back(name);
      if (name != what_) continue;
      VerbResult result = list();
      Json json{{"schema", "tandem-list/1"}};
      json.update(result.json);
      result.json = json;
      return result;
    }
    throw Error("cannot list '", what_, "'", suggestion(what_, known));
  }

 private:
  std::string what_;
};

}  // namespace

std::unique_ptr<Verb> make_list_verb() { return std::make_unique<ListVerb>(); }

}  // namespace tandem
