// What AVX-512 with and without VNNI share.
struct Lanes512 {
  using V = __m512i;
  static constexpr int kLanes = 16, kVectors = 2;
  static V load(const int32_t* at) { return _mm512_loadu_si512(at); }
  static void store(uint32_t* at, V v) { _mm512_storeu_si512(at, v); }
  static V broadcast(int32_t v) { return _mm512_set1_epi32(v); }
  static V add(V a, V b) { return _mm512_add_epi32(a, b); }
  static V shift16(V a) { return _mm512_slli_epi32(a, 16); }
};
