//! The levels of x86-64: AVX2 and AVX-512, each operation an intrinsic.

use std::arch::x86_64::{
    __m256, __m512, _CMP_GE_OQ, _CMP_GT_OQ, _MM_FROUND_TO_NEAREST_INT, _MM_HINT_T0, _mm_add_ps,
    _mm_loadu_si128, _mm_prefetch, _mm_storeu_si128, _mm256_add_ps, _mm256_and_ps, _mm256_andnot_ps,
    _mm256_blendv_ps, _mm256_castps256_ps128, _mm256_cmp_ps, _mm256_cvtph_ps, _mm256_cvtps_ph,
    _mm256_extractf128_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256,
    _mm256_max_ps, _mm256_min_ps, _mm256_movemask_ps, _mm256_mul_ps, _mm256_permute2f128_ps, _mm256_rcp_ps,
    _mm256_rsqrt_ps, _mm256_set1_ps, _mm256_setzero_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
    _mm256_storeu_si256, _mm256_sub_ps, _mm256_unpackhi_ps, _mm256_unpacklo_ps, _mm512_abs_ps, _mm512_add_ps,
    _mm512_castps512_ps256, _mm512_cmp_ps_mask, _mm512_cvtph_ps, _mm512_cvtps_ph, _mm512_extractf32x8_ps,
    _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_ps, _mm512_mask_mov_ps, _mm512_maskz_mov_ps,
    _mm512_max_ps, _mm512_min_ps, _mm512_mul_ps, _mm512_rcp14_ps, _mm512_reduce_add_ps, _mm512_rsqrt14_ps,
    _mm512_set1_ps, _mm512_setzero_ps, _mm512_shuffle_ps, _mm512_storeu_ps, _mm512_sub_ps,
    _mm512_unpackhi_ps, _mm512_unpacklo_ps,
};

use super::Simd;

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

/// Proof that the CPU has AVX-512 F, BW, DQ and VL, and AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

#[expect(unsafe_code, reason = "the token is made only here, after detection")]
impl Avx2 {
    /// # Safety
    /// The CPU must have AVX2, FMA and F16C.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

#[expect(unsafe_code, reason = "the token is made only here, after detection")]
impl Avx512 {
    /// # Safety
    /// The CPU must have all that [`Avx512`] names.
    pub(super) const unsafe fn new() -> Self {
        Self(())
    }
}

// SAFETY of every block below: holding the token proves the instruction set, and pointers are the caller's word.
#[expect(unsafe_code, reason = "intrinsics")]
impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    const SQUARE: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m256 {
        unsafe { _mm256_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut f32, x: __m256) {
        unsafe { _mm256_storeu_ps(at, x) }
    }
    #[inline(always)]
    unsafe fn load_half(self, at: *const u16) -> __m256 {
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(at.cast())) }
    }
    #[inline(always)]
    unsafe fn store_half(self, at: *mut u16, x: __m256) {
        unsafe {
            let most = _mm256_set1_ps(super::MAX_HALF);
            // A comparison with NaN gives the second operand, which keeps it.
            let x = _mm256_max_ps(_mm256_sub_ps(_mm256_setzero_ps(), most), _mm256_min_ps(most, x));
            _mm_storeu_si128(at.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
        }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn reciprocal_sqrt(self, a: __m256) -> __m256 {
        // One Newton step doubles the 11 bits of the estimate: y + y/2 (1 − a y²).
        unsafe {
            let y = _mm256_rsqrt_ps(a);
            let rest = _mm256_fnmadd_ps(_mm256_mul_ps(a, y), y, _mm256_set1_ps(1.0));
            _mm256_fmadd_ps(_mm256_mul_ps(y, _mm256_set1_ps(0.5)), rest, y)
        }
    }
    #[inline(always)]
    fn reciprocal(self, a: __m256) -> __m256 {
        unsafe {
            let y = _mm256_rcp_ps(a);
            _mm256_fmadd_ps(y, _mm256_fnmadd_ps(a, y, _mm256_set1_ps(1.0)), y)
        }
    }
    #[inline(always)]
    fn zero_below(self, a: __m256, bound: f32) -> __m256 {
        unsafe {
            let size = _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
            _mm256_and_ps(a, _mm256_cmp_ps::<_CMP_GE_OQ>(size, _mm256_set1_ps(bound)))
        }
    }
    #[inline(always)]
    fn select_positive(self, condition: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_blendv_ps(b, a, _mm256_cmp_ps::<_CMP_GT_OQ>(condition, _mm256_setzero_ps())) }
    }
    #[inline(always)]
    fn any_greater(self, a: __m256, b: __m256) -> bool {
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_GT_OQ>(a, b)) != 0 }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        unsafe {
            let line = |at: usize| _mm256_loadu_ps(from.add(at * stride));
            // Pairs of lines, then fours, then all eight: within halves of a register, and across them at the end.
            let pair = |at: usize| {
                let (a, b) = (line(at), line(at + 1));
                [_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b)]
            };
            let four = |at: usize| {
                let ([a, b], [c, d]) = (pair(at), pair(at + 2));
                [
                    _mm256_shuffle_ps::<0x44>(a, c),
                    _mm256_shuffle_ps::<0xee>(a, c),
                    _mm256_shuffle_ps::<0x44>(b, d),
                    _mm256_shuffle_ps::<0xee>(b, d),
                ]
            };
            for (at, (low, high)) in four(0).into_iter().zip(four(4)).enumerate() {
                _mm256_storeu_ps(to.add(at * to_stride), _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(to.add((at + 4) * to_stride), _mm256_permute2f128_ps::<0x31>(low, high));
            }
        }
    }
    #[inline(always)]
    fn prefetch<T>(self, at: *const T) {
        // SAFETY: a hint, which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn sum(self, a: __m256) -> f32 {
        unsafe {
            let (low, high) = (_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
            let four: [f32; 4] = std::mem::transmute(_mm_add_ps(low, high));
            (four[0] + four[2]) + (four[1] + four[3])
        }
    }
    #[inline(always)]
    fn sum_of_each(self, [a, b, c, d]: [__m256; 4]) -> [f32; 4] {
        unsafe {
            // Of each pair the low and high halves are added, with the pair's sums side by side; then the same with pairs.
            let ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            let all = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd));
            let (low, high) = (_mm256_castps256_ps128(all), _mm256_extractf128_ps::<1>(all));
            std::mem::transmute(_mm_add_ps(low, high))
        }
    }
    #[inline(always)]
    fn fma(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn fma64(self, a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}

// SAFETY: as above.
#[expect(unsafe_code, reason = "intrinsics")]
impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    const SQUARE: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    unsafe fn load(self, at: *const f32) -> __m512 {
        unsafe { _mm512_loadu_ps(at) }
    }
    #[inline(always)]
    unsafe fn store(self, at: *mut f32, x: __m512) {
        unsafe { _mm512_storeu_ps(at, x) }
    }
    #[inline(always)]
    unsafe fn load_half(self, at: *const u16) -> __m512 {
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
    }
    #[inline(always)]
    unsafe fn store_half(self, at: *mut u16, x: __m512) {
        unsafe {
            let most = _mm512_set1_ps(super::MAX_HALF);
            // As above.
            let x = _mm512_max_ps(_mm512_sub_ps(_mm512_setzero_ps(), most), _mm512_min_ps(most, x));
            _mm256_storeu_si256(at.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x));
        }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn reciprocal_sqrt(self, a: __m512) -> __m512 {
        unsafe {
            let y = _mm512_rsqrt14_ps(a);
            let rest = _mm512_fnmadd_ps(_mm512_mul_ps(a, y), y, _mm512_set1_ps(1.0));
            _mm512_fmadd_ps(_mm512_mul_ps(y, _mm512_set1_ps(0.5)), rest, y)
        }
    }
    #[inline(always)]
    fn reciprocal(self, a: __m512) -> __m512 {
        unsafe {
            let y = _mm512_rcp14_ps(a);
            _mm512_fmadd_ps(y, _mm512_fnmadd_ps(a, y, _mm512_set1_ps(1.0)), y)
        }
    }
    #[inline(always)]
    fn zero_below(self, a: __m512, bound: f32) -> __m512 {
        unsafe {
            let large = _mm512_cmp_ps_mask::<_CMP_GE_OQ>(_mm512_abs_ps(a), _mm512_set1_ps(bound));
            _mm512_maskz_mov_ps(large, a)
        }
    }
    #[inline(always)]
    fn select_positive(self, condition: __m512, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask::<_CMP_GT_OQ>(condition, _mm512_setzero_ps()), a) }
    }
    #[inline(always)]
    fn any_greater(self, a: __m512, b: __m512) -> bool {
        unsafe { _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b) != 0 }
    }
    #[inline(always)]
    unsafe fn transpose(self, from: *const f32, stride: usize, to: *mut f32, to_stride: usize) {
        // SAFETY: this CPU has AVX2 too, and the caller's word is the same.
        unsafe { Avx2::new().transpose(from, stride, to, to_stride) }
    }
    #[inline(always)]
    fn prefetch<T>(self, at: *const T) {
        // SAFETY: a hint, which never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn sum(self, a: __m512) -> f32 {
        unsafe { _mm512_reduce_add_ps(a) }
    }
    #[inline(always)]
    fn sum_of_each(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        unsafe {
            let ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
            let cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
            let all = _mm512_add_ps(_mm512_shuffle_ps::<0x44>(ab, cd), _mm512_shuffle_ps::<0xee>(ab, cd));
            let eight = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps::<1>(all));
            let (low, high) = (_mm256_castps256_ps128(eight), _mm256_extractf128_ps::<1>(eight));
            std::mem::transmute(_mm_add_ps(low, high))
        }
    }
    #[inline(always)]
    fn fma(self, a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
    #[inline(always)]
    fn fma64(self, a: f64, b: f64, c: f64) -> f64 {
        a.mul_add(b, c)
    }
}
