#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "tandem/base/error.h"
#include "tandem/base/text.h"
#include "tandem/graph/operator.h"
#include "tandem/report/figures.h"
#include "tandem/report/html.h"

namespace tandem {
namespace {

constexpr double kBoxWidth = 230, kBoxHeight = 46, kPillHeight = 28;
constexpr double kGapX = 24, kGapY = 22, kLaneWidth = 14, kMargin = 12;

struct Box {
  std::string title, line, tooltip, css_class;
  double height = kBoxHeight;
  std::size_t rank = 0;
};

// A place in a rank: a box, or a lane in which a longer edge passes.
struct Item {
  std::size_t box = kNone;
  double x = 0;      // of its centre
  double order = 0;  // mean place of what leads to it
  double width() const { return box == kNone ? kLaneWidth : kBoxWidth; }
};

struct Edge {
  std::size_t from, to;
  std::vector<std::size_t> lanes;  // items of the ranks between
};

// Layered drawing (after Sugiyama, Tagawa, Toda 1981): ranks by longest path, order within a rank
// by the mean place of the predecessors, long edges through lanes of their own.
class Drawing {
 public:
  Drawing(const Module& module, const Plan* plan) : module_(module), graph_(module.main()) {
    make_boxes(plan);
    make_edges();
    rank_boxes();
    place_items();
  }

  std::string text() const {
    std::string content;
    for (const Edge& edge : edges_) content += edge_text(edge);
    for (std::size_t r = 0; r < ranks_.size(); ++r)
      for (const Item& item : ranks_[r])
        if (item.box != kNone) content += box_text(boxes_[item.box], item.x, tops_[r]);
    return svg(width_, height_, "The network", content);
  }

 private:
  // ---- Boxes and edges ----

  void make_boxes(const Plan* plan) {
    box_of_node_.assign(graph_.nodes.size(), kNone);
    for (const ValueId input : graph_.inputs) box_of_input_[input] = add_end(input, "input");
    if (plan != nullptr) {
      for (const Step& step : plan->steps)
        if (!step.nodes.empty() && box_of_node_[step.nodes[0]] == kNone)
          add_box(step.nodes, step.form);
    }
    for (NodeId id = 0; id < graph_.nodes.size(); ++id)
      if (box_of_node_[id] == kNone) add_box({id}, "");
  }

  std::size_t add_end(ValueId value, const std::string& kind) {
    const Value& end = graph_.values[value];
    Box box;
    box.title = concat(kind, " ", end.name, "  ", end.type.to_string());
    box.tooltip = box.title;
    box.css_class = "end";
    box.height = kPillHeight;
    boxes_.push_back(box);
    return boxes_.size() - 1;
  }

  void add_box(const std::vector<NodeId>& nodes, const std::string& form) {
    Box box;
    std::vector<std::string> ops, details;
    std::string weights;
    for (const NodeId id : nodes) {
      if (box_of_node_[id] != kNone) continue;
      const Node& node = graph_.nodes[id];
      ops.emplace_back(node.op->name());
      details.push_back(concat(node.op->name(), " ", node.name));
      for (const ValueId input : node.inputs)
        if (weights.empty() && constant_of(module_, graph_, input) != nullptr)
          weights = graph_.values[input].type.to_string();
      box_of_node_[id] = boxes_.size();
    }
    const Node& first = graph_.nodes[nodes.front()];
    const Node& last = graph_.nodes[nodes.back()];
    const std::string type = graph_.values[last.outputs.front()].type.to_string();
    box.title = join(ops, " + ");
    box.line = concat(weights.empty() ? "" : concat("constants ", weights, "  "), "→ ", type);
    box.tooltip = concat(join(details, "\n"), form.empty() ? "" : "\nas " + form, "\nresult ", type,
                         weights.empty() ? "" : "\nconstants " + weights);
    box.css_class = class_of(first);
    boxes_.push_back(box);
  }

  static std::string class_of(const Node& node) {
    if (node.op->traits().domain == Domain::kMovement) return "movement";
    const std::string_view op = node.op->name();
    return op == "IntMatMul" || op == "IntConv" ? "product" : "other";
  }

  void connect(ValueId value, std::size_t to) {
    const NodeId producer = graph_.values[value].producer;
    std::size_t from = kNone;
    if (producer != kNone)
      from = box_of_node_[producer];
    else if (box_of_input_.contains(value))
      from = box_of_input_.at(value);
    if (from == kNone || from == to || !connected_.insert({from, to}).second) return;
    edges_.push_back({from, to, {}});
  }

  void make_edges() {
    for (NodeId id = 0; id < graph_.nodes.size(); ++id)
      for (const ValueId input : graph_.nodes[id].inputs)
        if (input != kNone) connect(input, box_of_node_[id]);
    for (const ValueId output : graph_.outputs) connect(output, add_end(output, "output"));
  }

  // ---- Places ----

  void rank_boxes() {
    bool changed = true;
    for (std::size_t round = 0; changed && round <= boxes_.size(); ++round) {
      changed = false;
      for (const Edge& edge : edges_) {
        if (boxes_[edge.to].rank > boxes_[edge.from].rank) continue;
        boxes_[edge.to].rank = boxes_[edge.from].rank + 1;
        changed = true;
      }
    }
    ensure(!changed, "the boxes of a drawing form a cycle");
    std::size_t last = 0;
    for (const Box& box : boxes_) last = std::max(last, box.rank);
    ranks_.resize(last + 1);
    for (std::size_t box = 0; box < boxes_.size(); ++box)
      ranks_[boxes_[box].rank].push_back({box, 0, 0});
    for (Edge& edge : edges_) {
      for (std::size_t r = boxes_[edge.from].rank + 1; r < boxes_[edge.to].rank; ++r) {
        edge.lanes.push_back(ranks_[r].size());
        ranks_[r].push_back({});
      }
    }
  }

  void place_items() {
    std::vector<std::vector<std::size_t>> order(ranks_.size());
    for (std::size_t r = 0; r < ranks_.size(); ++r) {
      order[r].resize(ranks_[r].size());
      std::iota(order[r].begin(), order[r].end(), std::size_t{0});
      if (r > 0) {
        set_orders(r);
        std::stable_sort(order[r].begin(), order[r].end(), [&](std::size_t a, std::size_t b) {
          return ranks_[r][a].order < ranks_[r][b].order;
        });
      }
      double x = 0;
      for (const std::size_t i : order[r]) {
        ranks_[r][i].x = x + ranks_[r][i].width() / 2;
        x += ranks_[r][i].width() + kGapX;
      }
      const double middle = (x - kGapX) / 2;
      for (Item& item : ranks_[r]) item.x -= middle;
      width_ = std::max(width_, x - kGapX);
    }
    width_ += 2 * kMargin;
    for (auto& rank : ranks_)
      for (Item& item : rank) item.x += width_ / 2;
    height_ = kMargin;
    for (const auto& rank : ranks_) {
      tops_.push_back(height_);
      double height = 0;
      for (const Item& item : rank)
        if (item.box != kNone) height = std::max(height, boxes_[item.box].height);
      height_ += height + kGapY;
    }
    height_ += kMargin - kGapY;
  }

  // The mean place of what leads to the items of a rank from the rank above.
  void set_orders(std::size_t r) {
    std::vector<double> sums(ranks_[r].size());
    std::vector<int> counts(ranks_[r].size());
    for (const Edge& edge : edges_) {
      const std::size_t from = boxes_[edge.from].rank, to = boxes_[edge.to].rank;
      if (r <= from || r > to) continue;
      const double above =
          r == from + 1 ? item_of(edge.from).x : ranks_[r - 1][edge.lanes[r - from - 2]].x;
      const std::size_t item = r == to ? index_of(edge.to) : edge.lanes[r - from - 1];
      sums[item] += above;
      ++counts[item];
    }
    for (std::size_t i = 0; i < sums.size(); ++i)
      ranks_[r][i].order = counts[i] > 0 ? sums[i] / counts[i] : 0;
  }

  std::size_t index_of(std::size_t box) const {
    const auto& rank = ranks_[boxes_[box].rank];
    const auto found =
        std::find_if(rank.begin(), rank.end(), [&](const Item& item) { return item.box == box; });
    return static_cast<std::size_t>(found - rank.begin());
  }
  const Item& item_of(std::size_t box) const { return ranks_[boxes_[box].rank][index_of(box)]; }

  // ---- Text ----

  std::string edge_text(const Edge& edge) const {
    const Box& from = boxes_[edge.from];
    double x = item_of(edge.from).x, y = tops_[from.rank] + from.height;
    std::string path = concat("M", coordinate(x), " ", coordinate(y));
    const auto bend = [&](double to_x, double to_y) {
      const double middle = (y + to_y) / 2;
      path += concat(" C", coordinate(x), " ", coordinate(middle), " ", coordinate(to_x), " ",
                     coordinate(middle), " ", coordinate(to_x), " ", coordinate(to_y));
      x = to_x;
      y = to_y;
    };
    for (std::size_t i = 0; i < edge.lanes.size(); ++i) {
      const std::size_t r = from.rank + 1 + i;
      bend(ranks_[r][edge.lanes[i]].x, tops_[r]);
      y = tops_[r + 1] - kGapY;
      path += concat(" V", coordinate(y));
    }
    bend(item_of(edge.to).x, tops_[boxes_[edge.to].rank]);
    return concat("<path class=\"edge\" d=\"", path, "\"/>\n");
  }

  static std::string box_text(const Box& box, double x, double y) {
    const double left = x - kBoxWidth / 2;
    std::string text = svg_box({left, y, kBoxWidth, box.height, box.css_class, box.tooltip});
    const bool is_end = box.line.empty();
    text += svg_text({x, y + 18, is_end ? "end-title" : "title", shortened(box.title, 34)});
    if (!is_end) text += svg_text({x, y + 36, "line", shortened(box.line, 40)});
    return text;
  }
  // Counts characters, not bytes.
  static std::string shortened(const std::string& text, std::size_t most) {
    std::size_t characters = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if ((static_cast<unsigned char>(text[i]) & 0xC0U) == 0x80U) continue;
      if (++characters == most) return i + 1 < text.size() ? text.substr(0, i) + "…" : text;
    }
    return text;
  }

  const Module& module_;
  const Graph& graph_;
  std::vector<Box> boxes_;
  std::vector<std::size_t> box_of_node_;
  std::map<ValueId, std::size_t> box_of_input_;
  std::vector<Edge> edges_;
  std::set<std::pair<std::size_t, std::size_t>> connected_;
  std::vector<std::vector<Item>> ranks_;
  std::vector<double> tops_;
  double width_ = 0, height_ = 0;
};

}  // namespace

std::string network_figure(const Module& lowered, const Plan* plan) {
  return Drawing(lowered, plan).text();
}

}  // namespace tandem
