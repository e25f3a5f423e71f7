#include "baseline/planes_body.h"

namespace carrel::unmodified {

extern const PlaneLoops kPlaneLoopsAvx2;
const PlaneLoops kPlaneLoopsAvx2 = kLoops;

}  // namespace carrel::unmodified
