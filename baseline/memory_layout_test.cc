#include "baseline/memory_layout.h"

#include <gtest/gtest.h>

#include <random>

namespace carrel::unmodified {
namespace {

Place activation(uint64_t bytes, int32_t first, int32_t last) {
  return {"t", PlaceKind::kActivation, 0, bytes, first, last};
}

TEST(MemoryLayout, AChainUsesTwoBuffersInTurn) {
  std::vector<Place> places = {{"w", PlaceKind::kWeights, 0, 100, 0, 0}};
  for (int32_t i = 0; i < 6; ++i) places.push_back(activation(1000, i - 1, i));
  places.push_back({"scratch", PlaceKind::kWorkspace, 0, 10, 0, 5});
  EXPECT_EQ(lay_out(&places), 128u + 2 * 1024 + 64);
  for (size_t i = 1; i < 7; ++i) EXPECT_EQ(places[i].offset, 128u + (i + 1) % 2 * 1024);
  EXPECT_EQ(places[7].offset, 128u + 2 * 1024);
}

TEST(MemoryLayout, AFreedGapIsFilledFirst) {
  std::vector<Place> places = {activation(640, -1, 0), activation(64, 0, 9), activation(320, 1, 9),
                               activation(320, 2, 9), activation(64, 3, 9)};
  EXPECT_EQ(lay_out(&places), 640u + 64 + 64);
  EXPECT_EQ(places[2].offset, 0u);
  EXPECT_EQ(places[3].offset, 320u);
  EXPECT_EQ(places[4].offset, 704u);
}

TEST(MemoryLayout, WhatLivesTogetherNeverOverlaps) {
  std::mt19937 random(4);
  for (int round = 0; round < 50; ++round) {
    std::vector<Place> places;
    for (int32_t i = 0; i < 60; ++i)
      places.push_back(activation(1 + random() % 5000, i, i + static_cast<int32_t>(random() % 9)));
    const uint64_t bytes = lay_out(&places);
    for (size_t a = 0; a < places.size(); ++a) {
      EXPECT_EQ(places[a].offset % kPlaceAlignment, 0u);
      EXPECT_LE(places[a].offset + places[a].bytes, bytes);
      for (size_t b = a + 1; b < places.size(); ++b) {
        if (places[b].first_layer > places[a].last_layer) continue;
        EXPECT_TRUE(places[a].offset + places[a].bytes <= places[b].offset ||
                    places[b].offset + places[b].bytes <= places[a].offset);
      }
    }
  }
}

}  // namespace
}  // namespace carrel::unmodified
