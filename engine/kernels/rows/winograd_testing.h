#pragma once
// Each of Winograd's four kernels against its matrices in double; winograd_steps_test.cc.
#include "engine/kernels/rows/rows.h"

namespace carrel::testing_rows {

void test_winograd_input(const RowKernels& kernels);
void test_winograd_filter(const RowKernels& kernels);
void test_winograd_multiply(const RowKernels& kernels);
void test_winograd_output(const RowKernels& kernels);

}  // namespace carrel::testing_rows
