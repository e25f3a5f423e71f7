/* Runs a sealed image classifier on an all-grey picture and prints the strongest class; of a model with a fixed batch,
 * of as many pictures, for the first.
 *
 *   carrel zoo resnet18 -o m.onnx && carrel keygen -o m.key && carrel seal m.onnx -o m.carrel --key m.key
 *   cc classify.c -o classify $(pkg-config --cflags --libs carrel)   (or find_package(carrel) in CMake)
 *   ./classify m.carrel m.key
 */
#define _DEFAULT_SOURCE /* explicit_bzero */
#include <carrel/carrel.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char* what, const char* why) {
  fprintf(stderr, "classify: %s: %s\n", what, why);
  return 1;
}

/* Room for what one call takes or gives; 0 without memory. */
static int allocate(const carrel_session* session, const carrel_tensor_info* info, carrel_tensor* tensor) {
  tensor->rank = info->rank;
  tensor->count = 1;
  for (uint32_t i = 0; i < info->rank; ++i) {
    tensor->dims[i] = info->dims[i];
    if (i == 0 && carrel_batch(session) > 1) tensor->dims[i] = carrel_batch(session);
    tensor->count *= (uint64_t)tensor->dims[i];
  }
  tensor->data = calloc(tensor->count, sizeof(float));
  return tensor->data != NULL;
}

static carrel_session* open_model(const char* model, const char* key_file, carrel_error* error) {
  uint8_t key[CARREL_KEY_BYTES];
  carrel_session* session = NULL;
  carrel_options options;
  carrel_init_options(&options, sizeof options);
  options.memory_bytes = 8u << 20;
  if (carrel_read_key(key_file, key, error) == CARREL_OK) carrel_open(model, key, &options, &session, error);
  explicit_bzero(key, sizeof key);
  return session;
}

static int classify(carrel_session* session, carrel_tensor* input, carrel_tensor* output) {
  carrel_error error;
  carrel_tensor_info in, out;
  /* carrel_run reads and fills an array of tensors: as many as the model has. */
  if (carrel_input_count(session) != 1 || carrel_output_count(session) != 1) {
    return fail("model", "this example takes one input and one output");
  }
  if (carrel_input_info(session, 0, &in) != CARREL_OK || carrel_output_info(session, 0, &out) != CARREL_OK ||
      !allocate(session, &in, input) || !allocate(session, &out, output)) {
    return fail("model", "no memory for its input and output");
  }
  for (uint64_t i = 0; i < input->count; ++i) input->data[i] = 0.5f;
  if (carrel_run(session, input, output, &error) != CARREL_OK) return fail("run", error.message);

  const uint64_t classes = carrel_batch(session) > 1 ? output->count / (uint64_t)carrel_batch(session) : output->count;
  uint64_t best = 0;
  for (uint64_t i = 1; i < classes; ++i) {
    if (output->data[i] > output->data[best]) best = i;
  }
  carrel_stats stats = {.struct_bytes = sizeof stats};
  carrel_get_stats(session, &stats);
  printf("class %lu (%.4f), trusted memory %lu bytes\n", (unsigned long)best, output->data[best],
         (unsigned long)stats.peak_trusted_bytes);
  return 0;
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: classify MODEL.carrel KEY\n");
    return 2;
  }
  carrel_error error;
  carrel_session* session = open_model(argv[1], argv[2], &error);
  if (session == NULL) return fail(argv[1], error.message);
  carrel_tensor input = {0}, output = {0};
  const int status = classify(session, &input, &output);
  carrel_close(session);
  free(input.data);
  free(output.data);
  return status;
}
