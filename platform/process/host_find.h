#pragma once
// Finding the enclave's executable. It is given keys, so only one that nobody else could have put
// there is taken.
#include <string>

#include "base/result.h"
#include "platform/process/host_spawn.h"

namespace carrel {

// `wanted` if not empty, else carrel-enclave where an installation (../libexec/carrel), the
// caller's own folder or a build tree has it, seen from this program's own file, else the
// configured installation; never the current directory.
//
// The file and its folders, up to the first that also holds this program, must belong to root, to
// the effective user or to the owner of this program's file, and be writable by no other user. A
// sticky folder such as /tmp, and write permission of the owner's private group (the one with his
// number), are no objection. The descriptor is of the file that was checked.
//
// Errors: kIo if there is none, naming every place looked at; kPlatform if it is not safe, naming
// what is wrong.
Result<EnclaveFile> find_enclave(const std::string& wanted);

}  // namespace carrel
