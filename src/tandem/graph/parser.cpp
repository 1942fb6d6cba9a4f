#include <cctype>
#include <map>
#include <span>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/graph/printer.h"
#include "tandem/graph/registry.h"
#include "tandem/graph/verifier.h"

namespace tandem {
namespace {

// Characters, with the line kept for messages.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  std::size_t line() const { return line_; }

  bool at_end() {
    skip_space();
    return position_ >= text_.size();
  }

  // The next character after spaces and comments (from '#' to the end of the line).
  char peek() {
    skip_space();
    return position_ < text_.size() ? text_[position_] : '\0';
  }

  bool accept(std::string_view token) {
    skip_space();
    if (text_.substr(position_, token.size()) != token) return false;
    const bool word = std::isalnum(static_cast<unsigned char>(token.back())) != 0;
    if (word && is_word(position_ + token.size())) return false;
    position_ += token.size();
    return true;
  }

  void expect(std::string_view token) {
    if (!accept(token)) throw Error("expected '", token, "' before '", rest(), "'");
  }

  // A run of letters, digits, '_' and '.'.
  std::string_view word() {
    skip_space();
    const std::size_t begin = position_;
    while (is_word(position_)) ++position_;
    if (begin == position_) throw Error("expected a name before '", rest(), "'");
    return text_.substr(begin, position_ - begin);
  }

  std::string quoted() {
    expect("\"");
    std::string result;
    while (position_ < text_.size() && text_[position_] != '"') {
      char c = text_[position_++];
      if (c == '\n') throw Error("a quoted text ends before its closing quote");
      if (c == '\\' && position_ < text_.size()) {
        c = text_[position_++];
        if (c == 'n') c = '\n';
      }
      result += c;
    }
    if (position_ >= text_.size()) throw Error("a quoted text has no closing quote");
    ++position_;
    return result;
  }

  std::string name() { return peek() == '"' ? quoted() : std::string(word()); }

  // Everything up to one of the given characters.
  std::string_view until(std::string_view ends) {
    skip_space();
    const std::size_t begin = position_;
    while (position_ < text_.size() && ends.find(text_[position_]) == std::string_view::npos &&
           text_[position_] != '\n') {
      ++position_;
    }
    return trim(text_.substr(begin, position_ - begin));
  }

 private:
  bool is_word(std::size_t at) const {
    return at < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at])) != 0 ||
                                 text_[at] == '_' || text_[at] == '.');
  }

  void skip_space() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == '#') {
        while (position_ < text_.size() && text_[position_] != '\n') ++position_;
      } else if (std::isspace(static_cast<unsigned char>(c)) != 0) {
        if (c == '\n') ++line_;
        ++position_;
      } else {
        break;
      }
    }
  }

  std::string rest() {
    skip_space();
    const auto end = std::min(text_.find('\n', position_), position_ + 24);
    return std::string(text_.substr(std::min(position_, text_.size()), end - position_));
  }

  std::string_view text_;
  std::size_t position_ = 0;
  std::size_t line_ = 1;
};

unsigned hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  throw Error("'", c, "' is no hexadecimal digit");
}

void check_stored_codes(const Tensor& tensor) {
  if (!tensor.format().is_uniform()) return;
  const IntegerRange range = tensor.format().integer_range();
  for (const std::int64_t value : tensor.to_integers())
    if (value < range.min || value > range.max)
      throw Error("element ", value, " is no ", tensor.format().name());
}

class Parser {
 public:
  explicit Parser(std::string_view text) : in_(text) {}

  Module run() {
    in_.expect("tandem-module");
    if (const auto version = in_.word(); version != "1")
      throw Error("module text of version ", version, "; this program reads version 1");
    while (!in_.at_end()) statement();
    verify(module_);
    return std::move(module_);
  }

  std::size_t line() const { return in_.line(); }

 private:
  void statement() {
    if (in_.accept("metadata")) {
      const std::string key = in_.quoted();
      in_.expect("=");
      module_.metadata[key] = in_.quoted();
    } else if (in_.accept("symbol")) {
      symbol();
    } else if (in_.accept("constant")) {
      constant();
    } else if (in_.accept("state")) {
      state();
    } else if (in_.accept("graph")) {
      graph(true);
    } else if (in_.accept("body")) {
      graph(false);
    } else if (in_.accept("function")) {
      const std::string key = in_.quoted();
      in_.expect("=");
      module_.functions[key] = graph_named(at_name());
    } else {
      const auto word = in_.word();
      throw Error("unknown statement '", word, "'",
                  suggestion(word, {"metadata", "symbol", "constant", "state", "graph", "body",
                                    "function"}));
    }
  }

  std::int64_t integer() {
    const bool negative = in_.accept("-");
    const auto value = parse_integer(in_.word(), "integer");
    return negative ? -value : value;
  }

  std::string at_name() {
    in_.expect("@");
    return in_.name();
  }

  void symbol() {
    Symbol symbol;
    symbol.name = in_.word();
    in_.expect("in");
    in_.expect("[");
    symbol.min = integer();
    in_.expect(",");
    symbol.max = integer();
    in_.expect("]");
    module_.symbols.push_back(symbol);
  }

  TensorType type() {
    const std::string_view format = in_.until("[");
    TensorType result;
    result.format = Format::parse(format);
    in_.expect("[");
    if (!in_.accept("]")) {
      do result.shape.push_back(Dim::parse(in_.until(",]")));
      while (in_.accept(","));
      in_.expect("]");
    }
    return result;
  }

  void constant() {
    const std::string name = at_name();
    in_.expect(":");
    const TensorType declared = type();
    in_.expect("=");
    Tensor tensor = in_.peek() == '[' ? decimal_tensor(declared) : hexadecimal_tensor(declared);
    check_stored_codes(tensor);
    if (!constants_.emplace(name, module_.constants.size()).second)
      throw Error("constant '", name, "' is defined twice");
    module_.constants.push_back({name, std::move(tensor)});
  }

  Tensor decimal_tensor(const TensorType& declared) {
    in_.expect("[");
    std::vector<double> reals;
    std::vector<std::int64_t> integers;
    const bool uniform = declared.format.is_uniform();
    if (!in_.accept("]")) {
      do {
        const std::string_view element = in_.until(",]");
        if (uniform)
          integers.push_back(parse_integer(element, "element"));
        else
          reals.push_back(parse_real(element, "element"));
      } while (in_.accept(","));
      in_.expect("]");
    }
    const Shape shape = declared.static_shape();
    const std::size_t given = uniform ? integers.size() : reals.size();
    if (static_cast<std::int64_t>(given) != element_count(shape))
      throw Error(given, " elements where ", declared.to_string(), " needs ", element_count(shape));
    return uniform ? Tensor::from_integers(declared.format, shape, integers)
                   : Tensor::from_reals(declared.format, shape, reals);
  }

  Tensor hexadecimal_tensor(const TensorType& declared) {
    const std::string_view digits = in_.word();
    const Shape shape = declared.static_shape();
    const auto bytes = static_cast<std::size_t>(element_count(shape)) *
                       static_cast<std::size_t>(storage_bytes(declared.format.storage()));
    if (digits.empty() || digits.front() != 'x' || digits.size() != 1 + 2 * bytes) {
      throw Error("the hexadecimal constant has ", digits.size() / 2, " bytes where ",
                  declared.to_string(), " needs ", bytes);
    }
    Tensor tensor(declared.format, shape);
    auto to = tensor.mutable_bytes();
    for (std::size_t i = 0; i < bytes; ++i) {
      to[i] =
          static_cast<std::byte>(hex_digit(digits[1 + 2 * i]) * 16 + hex_digit(digits[2 + 2 * i]));
    }
    return tensor;
  }

  ConstantId constant_ref() {
    const std::string name = at_name();
    const auto found = constants_.find(name);
    if (found == constants_.end()) throw Error("there is no constant '", name, "' above");
    return found->second;
  }

  void state() {
    State state;
    state.name = at_name();
    in_.expect(":");
    state.type = type();
    in_.expect("=");
    state.initial = constant_ref();
    const auto lifetime = in_.word();
    if (lifetime == "model")
      state.lifetime = Lifetime::kModel;
    else if (lifetime == "stream")
      state.lifetime = Lifetime::kStream;
    else if (lifetime == "run")
      state.lifetime = Lifetime::kRun;
    else
      throw Error("lifetime '", lifetime, "'", suggestion(lifetime, {"model", "stream", "run"}));
    module_.states.push_back(std::move(state));
  }

  StateId state_named(const std::string& name) const {
    for (StateId id = 0; id < module_.states.size(); ++id)
      if (module_.states[id].name == name) return id;
    throw Error("there is no state '", name, "' above");
  }

  GraphId graph_named(const std::string& name) const {
    for (GraphId id = 0; id < module_.graphs.size(); ++id)
      if (module_.graphs[id].name == name) return id;
    throw Error("there is no graph '", name, "' above");
  }

  ValueId define(Graph& graph, Value value) {
    if (!values_.emplace(value.name, graph.values.size()).second)
      throw Error("value '", value.name, "' is defined twice");
    graph.values.push_back(std::move(value));
    return graph.values.size() - 1;
  }

  std::string percent_name() {
    in_.expect("%");
    return in_.name();
  }

  ValueId value_ref() {
    if (in_.accept("_")) return kNone;
    const std::string name = percent_name();
    const auto found = values_.find(name);
    if (found == values_.end()) throw Error("there is no value '", name, "' above");
    return found->second;
  }

  std::optional<Coding> coding() {
    if (!in_.accept("coded")) return std::nullopt;
    Coding coding;
    in_.expect("(");
    coding.scale = constant_ref();
    in_.expect(",");
    coding.offset = constant_ref();
    in_.expect(")");
    return coding;
  }

  struct PendingOutput {
    std::string name;
    std::optional<Coding> coding;
  };

  void graph(bool is_function) {
    Graph graph;
    graph.name = at_name();
    values_.clear();
    in_.expect("(");
    if (!in_.accept(")")) {
      do {
        Value value;
        value.name = percent_name();
        in_.expect(":");
        value.type = type();
        const ValueId id = define(graph, std::move(value));
        graph.inputs.push_back(id);
        if (const auto found = coding()) graph.codings[id] = *found;
      } while (in_.accept(","));
      in_.expect(")");
    }
    in_.expect("->");
    in_.expect("(");
    std::vector<PendingOutput> outputs;
    if (!in_.accept(")")) {
      do {
        std::string name = percent_name();
        outputs.push_back({std::move(name), coding()});
      } while (in_.accept(","));
      in_.expect(")");
    }
    const auto updates = pending_updates();
    in_.expect("{");
    while (!in_.accept("}")) line_of(graph);
    finish(graph, outputs, updates);
    module_.graphs.push_back(std::move(graph));
    if (is_function) module_.functions[module_.graphs.back().name] = module_.graphs.size() - 1;
  }

  std::vector<std::pair<StateId, std::string>> pending_updates() {
    std::vector<std::pair<StateId, std::string>> updates;
    if (!in_.accept("updates")) return updates;
    in_.expect("(");
    do {
      const StateId state = state_named(at_name());
      in_.expect("=");
      updates.emplace_back(state, percent_name());
    } while (in_.accept(","));
    in_.expect(")");
    return updates;
  }

  void finish(Graph& graph, const std::vector<PendingOutput>& outputs,
              const std::vector<std::pair<StateId, std::string>>& updates) {
    const auto resolve = [&](const std::string& name) {
      const auto found = values_.find(name);
      if (found == values_.end())
        throw Error("graph '", graph.name, "' computes no value '", name, "'");
      return found->second;
    };
    for (const PendingOutput& output : outputs) {
      graph.outputs.push_back(resolve(output.name));
      if (output.coding) graph.codings[graph.outputs.back()] = *output.coding;
    }
    for (const auto& [state, value] : updates) graph.updates.push_back({state, resolve(value)});
  }

  void line_of(Graph& graph) {
    std::vector<Value> outputs;
    do {
      Value value;
      value.name = percent_name();
      if (in_.accept(":")) {
        value.type = type();
        outputs.push_back(std::move(value));
        continue;
      }
      in_.expect("=");
      if (in_.accept("constant")) {
        value.constant = constant_ref();
        value.type = type_of(module_.constants[value.constant].tensor);
      } else {
        in_.expect("state");
        value.state = state_named(at_name());
        value.type = module_.states[value.state].type;
      }
      define(graph, std::move(value));
      return;
    } while (in_.accept(","));
    in_.expect("=");
    node(graph, std::move(outputs));
  }

  void node(Graph& graph, std::vector<Value> outputs) {
    Node node;
    node.op = &operators().find(in_.word());
    in_.expect("(");
    if (!in_.accept(")")) {
      do node.inputs.push_back(value_ref());
      while (in_.accept(","));
      in_.expect(")");
    }
    if (in_.accept("{")) {
      do {
        const std::string key(in_.word());
        in_.expect("=");
        node.attributes[key] = attribute();
      } while (in_.accept(","));
      in_.expect("}");
    }
    while (in_.accept("body")) node.bodies.push_back(graph_named(at_name()));
    node.name = in_.peek() == '"' ? in_.quoted() : outputs.front().name;
    if (in_.accept("scope")) node.scope = in_.quoted();
    node.attributes =
        complete_attributes(node.op->attributes(), std::move(node.attributes), node.op->name());
    for (Value& value : outputs) {
      value.producer = graph.nodes.size();
      node.outputs.push_back(define(graph, std::move(value)));
    }
    graph.nodes.push_back(std::move(node));
  }

  static bool is_number(std::string_view text) {
    return !text.empty() && (std::isdigit(static_cast<unsigned char>(text.front())) != 0 ||
                             text.front() == '-' || text == "inf" || text == "nan");
  }

  static Attribute scalar(std::string_view text) {
    if (!is_number(text)) return Format::parse(text);
    if (text.find_first_of(".en") == std::string_view::npos)
      return static_cast<std::int64_t>(parse_integer(text, "attribute"));
    return parse_real(text, "attribute");
  }

  Attribute attribute() {
    if (in_.peek() == '"') return in_.quoted();
    if (!in_.accept("[")) {
      // A format may hold a comma inside its angle brackets.
      std::string text(in_.until(",}<"));
      if (in_.accept("<")) {
        text += "<" + std::string(in_.until(">")) + ">";
        in_.expect(">");
      }
      return scalar(text);
    }
    if (in_.accept("]")) return std::vector<std::int64_t>{};
    if (in_.peek() == '"') {
      std::vector<std::string> strings;
      do strings.push_back(in_.quoted());
      while (in_.accept(","));
      in_.expect("]");
      return strings;
    }
    std::vector<std::string> parts;
    bool real = false;
    do {
      parts.emplace_back(in_.until(",]"));
      real |= parts.back().find_first_of(".en") != std::string::npos;
    } while (in_.accept(","));
    in_.expect("]");
    if (real) {
      std::vector<double> values;
      for (const auto& part : parts) values.push_back(parse_real(part, "attribute"));
      return values;
    }
    std::vector<std::int64_t> values;
    for (const auto& part : parts) values.push_back(parse_integer(part, "attribute"));
    return values;
  }

  Scanner in_;
  Module module_;
  std::map<std::string, ConstantId> constants_;
  std::map<std::string, ValueId> values_;
};

}  // namespace

Module parse_module(std::string_view text, std::string_view source) {
  Parser parser(text);
  try {
    return parser.run();
  } catch (const Error& error) {
    throw error.at(concat(source, ":", parser.line()));
  }
}

}  // namespace tandem
