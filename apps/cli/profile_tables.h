#pragma once
// A profile as tables and as JSON.
#include "apps/cli/cli.h"
#include "apps/common/profile.h"

namespace carrel::cli {

Json profile_json(const Profile& profile);
void print_profile(const Profile& profile, uint32_t threads);

}  // namespace carrel::cli
