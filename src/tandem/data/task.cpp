#include "tandem/data/task.h"

#include "tandem/base/error.h"

namespace tandem {

std::vector<std::int64_t> top1(const Tensor& scores) {
  if (scores.rank() == 0) throw Error("scores have no axis of samples");
  const std::int64_t rows = scores.shape()[0];
  const std::int64_t classes = rows == 0 ? 0 : scores.size() / rows;
  std::vector<std::int64_t> winners;
  for (std::int64_t row = 0; row < rows; ++row) {
    if (classes == 1) {
      winners.push_back(scores.real(row) > 0 ? 1 : 0);
      continue;
    }
    std::int64_t best = 0;
    for (std::int64_t c = 1; c < classes; ++c)
      if (scores.real(row * classes + c) > scores.real(row * classes + best)) best = c;
    winners.push_back(best);
  }
  return winners;
}

void Accuracy::add(const Tensor& scores, std::span<const std::int64_t> labels) {
  const auto winners = top1(scores);
  if (winners.size() != labels.size()) {
    throw Error("the network's output has ", winners.size(), " rows for ", labels.size(),
                " labelled samples; accuracy needs one row of scores for each");
  }
  const std::int64_t row = winners.empty() ? 0 : scores.size() / scores.shape()[0];
  const std::int64_t classes = row == 1 ? 2 : row;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < 0 || labels[i] >= classes) {
      throw Error("a sample has the label ", labels[i], ", but the network tells ", classes,
                  " classes apart; the data belong to another network");
    }
    if (winners[i] == labels[i]) ++correct_;
  }
  count_ += static_cast<std::int64_t>(labels.size());
}

}  // namespace tandem
