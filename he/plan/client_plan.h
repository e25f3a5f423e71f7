#pragma once
// The part of a plan that the data owner gets to see: shapes, scales, and what to do with decrypted numbers; no weights. The server
// sends it as JSON, so all of it is checked before it is used.
#include <string>

#include "he/plan/scales.h"

namespace carrel::he {

struct ClientPlan {
  Network network;  // without weights and graph
  Scaling scaling;  // of layers: out and noise alone
};
std::string encode_client_plan(const Network& network, const Scaling& scaling);
// text: untrusted. Errors: kInvalidInput, saying which part is wrong.
Result<ClientPlan> parse_client_plan(std::string_view text);

}  // namespace carrel::he
