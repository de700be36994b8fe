//! Training with subnormal numbers flushed to zero.
//!
//! Gradients that fade out of a network become subnormal (below 1.2e-38) long before they become zero, and processors take some
//! hundred cycles for each operation on such a number: an epoch then slows down several times over while it learns nothing
//! more. [`flushed`] runs a piece of work on threads of its own whose registers say "zero instead", so that neither the caller's
//! threads nor other work on the same pool see another arithmetic, and the bits do not depend on who else runs.
//!
//! ```
//! use foldin_nn::flush::flushed;
//! // As many threads as the pool that it is called from.
//! let threads = rayon::current_num_threads();
//! assert_eq!(flushed(rayon::current_num_threads), threads);
//! ```

use rayon::ThreadPoolBuilder;

/// Runs `work` on a pool of as many threads as the current one, whose threads flush subnormal numbers to zero where the processor
/// can (x86-64); elsewhere it is slower at worst. Rayon's functions within `work` use that pool. If the system refuses the
/// threads, `work` runs where it is, as it would without this function.
pub fn flushed<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let pool = ThreadPoolBuilder::new()
        .num_threads(rayon::current_num_threads())
        .thread_name(|number| format!("training-{number}"))
        .start_handler(|_| flush_on_this_thread())
        .build();
    match pool {
        Ok(pool) => pool.install(work),
        Err(_) => work(),
    }
}

/// Sets "flush to zero" (bit 15) and "denormals are zero" (bit 6) of the thread's floating-point control register.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "only an instruction can set the register")]
fn flush_on_this_thread() {
    let mut control = 0u32;
    // SAFETY: both instructions are part of x86-64 and touch `control` alone. The compiler may compute constants as if the bits
    // were not set; such a result is a subnormal number instead of zero, which every caller must stand anyway. The thread
    // belongs to `flushed` and ends with it, so that no other code runs in this mode.
    unsafe {
        std::arch::asm!("stmxcsr [{}]", in(reg) &raw mut control, options(nostack, preserves_flags));
        control |= 1 << 15 | 1 << 6;
        std::arch::asm!("ldmxcsr [{}]", in(reg) &raw const control, options(nostack, preserves_flags, readonly));
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn flush_on_this_thread() {}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;
    use std::hint::black_box;

    fn halved() -> f32 {
        black_box(f32::MIN_POSITIVE) * black_box(0.5)
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn subnormal_numbers_are_zero_within_and_nowhere_else() {
        let within: Vec<f32> = flushed(|| (0..100).into_par_iter().map(|_| halved()).collect());
        assert!(within.iter().all(|&x| x == 0.0));
        assert!(halved() > 0.0);
        let after: Vec<f32> = (0..100).into_par_iter().map(|_| halved()).collect();
        assert!(after.iter().all(|&x| x > 0.0));
    }

    #[test]
    fn the_pool_is_as_large_as_the_callers() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| flushed(rayon::current_num_threads)), 3);
    }
}
