/* carrel: run a sealed neural network in a few MiB of trusted memory.
 *
 * A model is opened with its key, prepared once for a budget of trusted memory, and then run. Tensors are float32,
 * row-major. Every function that can fail returns a carrel_status and, if `error` is not NULL, a message in one line.
 * Objects are not thread-safe; different objects may be used by different threads.
 *
 * Protection is the platform's: CARREL_PLATFORM_PROCESS is a sandboxed process of its own and no wall against root or
 * the machine's owner; CARREL_PLATFORM_INPROC is no wall at all (docs/THREATS.md).
 */
#ifndef CARREL_CARREL_H_
#define CARREL_CARREL_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CARREL_API __attribute__((visibility("default")))
#define CARREL_KEY_BYTES 32
#define CARREL_MODEL_ID_BYTES 16
#define CARREL_MAX_RANK 8

typedef enum carrel_status {
  CARREL_OK = 0,
  CARREL_INVALID_INPUT = 1,    /* a path, shape, size or argument is wrong */
  CARREL_UNSUPPORTED = 2,      /* well-formed, but not something carrel does */
  CARREL_BUDGET_TOO_SMALL = 3, /* carrel_error.detail: the least bytes that work */
  CARREL_AUTHENTICATION = 4,   /* bytes were changed, swapped, replayed or truncated */
  CARREL_WRONG_KEY = 5,
  CARREL_IO = 6,
  CARREL_PLATFORM = 7, /* the trusted process could not start, or died */
  CARREL_CANCELLED = 8
} carrel_status;

typedef struct carrel_error {
  uint64_t detail;
  char message[256];
} carrel_error;

typedef enum carrel_strategy {
  CARREL_STRATEGY_WHOLE = 0,
  CARREL_STRATEGY_CHANNEL = 1,
  CARREL_STRATEGY_YPLANE = 2,
  CARREL_STRATEGY_AUTO = 3
} carrel_strategy;

typedef enum carrel_platform { CARREL_PLATFORM_PROCESS = 0, CARREL_PLATFORM_INPROC = 1 } carrel_platform;

/* Start from carrel_init_options(). struct_bytes keeps the ABI stable as fields are added at the end. */
typedef struct carrel_options {
  uint64_t struct_bytes;
  uint64_t memory_bytes;            /* every writable byte of the trusted side; default 16 MiB */
  uint32_t threads;                 /* default 1 */
  carrel_strategy strategy;         /* default CARREL_STRATEGY_AUTO */
  carrel_platform platform;         /* default CARREL_PLATFORM_PROCESS */
  const uint8_t* expected_model_id; /* CARREL_MODEL_ID_BYTES bytes, or NULL: any model of this key */
  const char* enclave_path;         /* the trusted executable, or NULL: that of an installation, see carrel_open */
} carrel_options;

typedef struct carrel_session carrel_session;

typedef struct carrel_tensor_info {
  const char* name;    /* lives as long as the session */
  uint32_t rank;
  int64_t dims[CARREL_MAX_RANK]; /* of one image: dims[0] is 1 unless carrel_batch() is 1 */
} carrel_tensor_info;

typedef struct carrel_tensor {
  uint32_t rank;
  int64_t dims[CARREL_MAX_RANK];
  float* data;
  uint64_t count; /* elements at data */
} carrel_tensor;

typedef struct carrel_stats {
  uint64_t struct_bytes;
  uint64_t planned_peak_bytes;
  uint64_t peak_trusted_bytes;
  uint64_t kernel_private_bytes; /* the operating system's figure for the trusted process; 0 if it has none */
  uint64_t bytes_decrypted;      /* weights, in the last inference */
  uint64_t bytes_spilled;
  uint64_t crossings;
} carrel_stats;

CARREL_API const char* carrel_version(void);
/* Sets the defaults. struct_bytes: sizeof(carrel_options), so that a program built with an older header keeps working
 * with a newer library. */
CARREL_API void carrel_init_options(carrel_options* options, uint64_t struct_bytes);

/* Reads a key file written by `carrel keygen` into key. Wipe it after carrel_open. */
CARREL_API carrel_status carrel_read_key(const char* path, uint8_t key[CARREL_KEY_BYTES], carrel_error* error);

/* Opens a sealed model, starts the trusted engine and prepares a program. options may be NULL: the defaults.
 * Without options->enclave_path the trusted executable is libexec/carrel/carrel-enclave of the installation that this
 * library lies in (looked up only if the library was loaded by an absolute path), else the one beside the running
 * program, else that of the prefix that carrel was built for. The current directory is never searched. */
CARREL_API carrel_status carrel_open(const char* model_path, const uint8_t key[CARREL_KEY_BYTES],
                                     const carrel_options* options, carrel_session** session, carrel_error* error);
CARREL_API void carrel_close(carrel_session* session); /* NULL is allowed */

/* How many images one call takes. 0: any number, the first dimension of every input and output. n > 1: exactly n, there
 * too. 1: tensors have the dims of carrel_tensor_info. */
CARREL_API int64_t carrel_batch(const carrel_session* session);
CARREL_API uint32_t carrel_input_count(const carrel_session* session);
CARREL_API uint32_t carrel_output_count(const carrel_session* session);
CARREL_API carrel_status carrel_input_info(const carrel_session* session, uint32_t index, carrel_tensor_info* info);
CARREL_API carrel_status carrel_output_info(const carrel_session* session, uint32_t index, carrel_tensor_info* info);

/* One inference. inputs: carrel_input_count() tensors. outputs: carrel_output_count() tensors whose `data` the caller
 * owns and whose `count` says how much fits; rank, dims and count are set. An output that does not fit is
 * CARREL_INVALID_INPUT with the elements needed in error->detail, and nothing is written. */
CARREL_API carrel_status carrel_run(carrel_session* session, const carrel_tensor* inputs, carrel_tensor* outputs,
                                    carrel_error* error);

/* Of the last carrel_run. Set stats->struct_bytes to sizeof(carrel_stats) first. */
CARREL_API carrel_status carrel_get_stats(const carrel_session* session, carrel_stats* stats);
/* One line on what this platform does not protect, or has lost on this machine. */
CARREL_API const char* carrel_protection_notes(const carrel_session* session);

#ifdef __cplusplus
}
#endif

#endif
