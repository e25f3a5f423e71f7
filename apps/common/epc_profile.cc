#include "apps/common/epc_profile.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "apps/common/epc_profile_texts.h"
#include "files/read_file.h"

namespace carrel {
namespace {

using Json = nlohmann::json;
constexpr uint64_t kMostFileBytes = 64 * 1024;

class Reader {
 public:
  Reader(const std::string& name, const Json& json) : name_(name), json_(json) {}

  Result<EpcProfile> read() {
    EpcProfile out;
    out.name = name_;
    CARREL_RETURN_IF_ERROR(text("about", &out.about));
    CARREL_RETURN_IF_ERROR(bytes("resident_bytes", 1 << 14, &out.resident_bytes));
    CARREL_RETURN_IF_ERROR(bytes("cache_bytes", 0, &out.cache_bytes));
    CARREL_RETURN_IF_ERROR(flag("pages", &out.pages));
    CARREL_RETURN_IF_ERROR(flag("serialized", &out.serialized));
    CARREL_RETURN_IF_ERROR(number("fault_us", 0, &out.fault_us));
    CARREL_RETURN_IF_ERROR(number("crossing_us", 0, &out.crossing_us));
    CARREL_RETURN_IF_ERROR(number("plain_gb_per_second", 1e-3, &out.plain_gb_per_second));
    CARREL_RETURN_IF_ERROR(number("encrypted_gb_per_second", 1e-3, &out.encrypted_gb_per_second));
    const auto sources = json_.find("sources");
    if (sources == json_.end() || !sources->is_array() || sources->empty()) return wrong("sources", "a list of texts");
    for (const Json& source : *sources) {
      if (!source.is_string()) return wrong("sources", "a list of texts");
      out.sources.push_back(source.get<std::string>());
    }
    return out;
  }

 private:
  Error wrong(const char* field, const char* expected) const {
    return Error(ErrorCode::kInvalidInput, "EPC profile %s: \"%s\" must be %s", name_.c_str(), field, expected);
  }
  Status text(const char* field, std::string* out) const {
    const auto found = json_.find(field);
    if (found == json_.end() || !found->is_string()) return wrong(field, "a text");
    *out = found->get<std::string>();
    return ok_status();
  }
  Status flag(const char* field, bool* out) const {
    const auto found = json_.find(field);
    if (found == json_.end() || !found->is_boolean()) return wrong(field, "true or false");
    *out = found->get<bool>();
    return ok_status();
  }
  Status number(const char* field, double least, double* out) const {
    const auto found = json_.find(field);
    if (found == json_.end() || !found->is_number()) return wrong(field, "a number");
    *out = found->get<double>();
    if (std::isfinite(*out) && *out >= least && *out <= 1e6) return ok_status();
    return wrong(field, "a plausible number");
  }
  Status bytes(const char* field, uint64_t least, uint64_t* out) const {
    const auto found = json_.find(field);
    if (found == json_.end() || !found->is_number_unsigned()) return wrong(field, "a number of bytes");
    *out = found->get<uint64_t>();
    if (*out >= least && *out <= uint64_t{1} << 44) return ok_status();
    return wrong(field, "a plausible number of bytes");
  }

  const std::string& name_;
  const Json& json_;
};

Result<std::string> text_of(const std::string& name) {
  std::string names;
  for (const EpcProfileText& built_in : kEpcProfileTexts) {
    if (name == built_in.name) return std::string(built_in.text);
    if (!names.empty()) names.append(", ");
    names.append(built_in.name);
  }
  Result<std::vector<std::byte>> file = read_file(name, kMostFileBytes);
  if (file.ok()) return std::string(reinterpret_cast<const char*>(file->data()), file->size());
  return Error(file.error().code(), "there is no EPC profile '%s' (built in: %s), and no such file: %s",
               name.c_str(), names.c_str(), file.error().message());
}

}  // namespace

Result<EpcProfile> load_epc_profile(const std::string& name) {
  CARREL_ASSIGN(const std::string text, text_of(name));
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error(ErrorCode::kInvalidInput, "EPC profile %s: not a JSON object", name.c_str());
  return Reader(name, json).read();
}

}  // namespace carrel
