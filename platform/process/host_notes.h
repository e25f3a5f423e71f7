#pragma once
// Which protections an enclave had to do without, in words.
#include <string>

#include "platform/process/control.h"

namespace carrel {

// One line without a full stop, naming what was lost, what that means and what would bring it back;
// empty if nothing was lost.
std::string describe_lost_protection(const ReadyMessage& ready);

}  // namespace carrel
