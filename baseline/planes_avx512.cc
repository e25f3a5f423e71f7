#include "baseline/planes_body.h"

namespace carrel::unmodified {

extern const PlaneLoops kPlaneLoopsAvx512;
const PlaneLoops kPlaneLoopsAvx512 = kLoops;

}  // namespace carrel::unmodified
