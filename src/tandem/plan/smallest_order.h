#pragma once

#include <vector>

#include "tandem/plan/kept_states.h"
#include "tandem/plan/mcu_tasks.h"
#include "tandem/plan/task_order.h"

namespace tandem {

// The order of the tasks that takes the smallest arena, as positions among them.
TaskOrder smallest_order(const Graph& graph, const McuGroups& groups,
                         const std::vector<McuTask>& tasks, const std::vector<KeptState>& states,
                         IoPlace io);

}  // namespace tandem
