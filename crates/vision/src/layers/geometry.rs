//! Which output a tap of a convolution's window reads.

/// A square window moved over pictures: the shapes of a convolution, or, read backwards, of a transposed one.
///
/// The *wide* side is the convolution's input, the *narrow* side its output; a transposed convolution goes from narrow to wide. All
/// pictures lie as `[batch, height, width, channels]`, weights as `[size, size, wide channels, narrow channels]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Height and width of the window.
    pub size: usize,
    /// Pixels of the wide side from one window to the next.
    pub stride: usize,
    /// Rows and columns of zeros before the wide side's first ones.
    pub before: usize,
    /// Height and width of the wide side.
    pub wide: [usize; 2],
    /// Channels of the wide side.
    pub wide_channels: usize,
    /// Height and width of the narrow side.
    pub narrow: [usize; 2],
    /// Channels of the narrow side.
    pub narrow_channels: usize,
}

impl Geometry {
    /// With zeros around, so that the narrow side is the wide one over `stride`, rounded up. What is odd goes after: the same rows
    /// and columns as TensorFlow's `SAME`, for transposed convolutions too.
    ///
    /// # Panics
    /// If `size` or `stride` is 0.
    #[must_use]
    pub fn same(
        size: usize,
        stride: usize,
        wide: [usize; 2],
        wide_channels: usize,
        narrow_channels: usize,
    ) -> Self {
        assert!(size > 0 && stride > 0, "a window of {size} moved by {stride}");
        let narrow = wide.map(|length| length.div_ceil(stride));
        let padding =
            |axis: usize| (narrow[axis].saturating_sub(1) * stride + size).saturating_sub(wide[axis]);
        // Pictures that are not square may need different padding; the smaller keeps windows within the other's.
        let before = padding(0).min(padding(1)) / 2;
        Self { size, stride, before, wide, wide_channels, narrow, narrow_channels }
    }

    /// Without zeros around: windows that fit, and nothing else.
    ///
    /// # Panics
    /// If `size` or `stride` is 0, or no window fits.
    #[must_use]
    pub fn valid(
        size: usize,
        stride: usize,
        wide: [usize; 2],
        wide_channels: usize,
        narrow_channels: usize,
    ) -> Self {
        assert!(size > 0 && stride > 0, "a window of {size} moved by {stride}");
        assert!(wide.iter().all(|&length| length >= size), "a window of {size} in {wide:?}");
        let narrow = wide.map(|length| (length - size) / stride + 1);
        Self { size, stride, before: 0, wide, wide_channels, narrow, narrow_channels }
    }

    /// Numbers of a wide picture.
    #[must_use]
    pub fn wide_len(&self) -> usize {
        self.wide[0] * self.wide[1] * self.wide_channels
    }

    /// Pixels of a narrow picture.
    #[must_use]
    pub fn narrow_pixels(&self) -> usize {
        self.narrow[0] * self.narrow[1]
    }

    /// Numbers of a narrow picture.
    #[must_use]
    pub fn narrow_len(&self) -> usize {
        self.narrow_pixels() * self.narrow_channels
    }

    /// Numbers that a window holds.
    #[must_use]
    pub fn window_len(&self) -> usize {
        self.size * self.size * self.wide_channels
    }

    /// Calls `visit(offset in the window, offset in the picture, length)` for each stretch of the window of narrow pixel `(y, x)`
    /// that lies within the wide picture: a part of one row, all channels.
    #[inline(always)]
    pub(super) fn stretches(&self, y: usize, x: usize, mut visit: impl FnMut(usize, usize, usize)) {
        let channels = self.wide_channels;
        let [height, width] = self.wide;
        let left = (x * self.stride) as isize - self.before as isize;
        // Taps of the window that fall within the row.
        let first = (-left).max(0) as usize;
        let last = (width as isize - left).clamp(0, self.size as isize) as usize;
        if first >= last {
            return;
        }
        let length = (last - first) * channels;
        for tap in 0..self.size {
            let row = (y * self.stride + tap) as isize - self.before as isize;
            if row < 0 || row >= height as isize {
                continue;
            }
            let column = (left + first as isize) as usize;
            let in_window = (tap * self.size + first) * channels;
            visit(in_window, (row as usize * width + column) * channels, length);
        }
    }
}
