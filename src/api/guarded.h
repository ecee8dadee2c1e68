// A row of the call table behind the gate.
#pragma once

#include "api/call_table.h"

namespace kv::api {

// Wraps the row's handler: it is called only when `gate`, which must outlive the row, is open or has admitted the call.
void guard(Row* row, Gate& gate);

}  // namespace kv::api
