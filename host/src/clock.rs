//! The machine's clock, as far as TLS needs it: a server whose battery is dead says 1970, and one whose clock keeps
//! local time is hours off; either finds the installer's certificates not valid yet.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, Timespec, clock_settime};

/// linux/rtc.h
const RTC_SET_TIME: libc::c_ulong = 0x4024_700a;
const RTC: &str = "/dev/rtc0";

/// Sets the clock forward when it is before `seconds` (since 1970). Says whether it did.
///
/// # Errors
/// The clock is not ours to set.
pub fn not_before(seconds: u64) -> io::Result<bool> {
    let wanted = UNIX_EPOCH + Duration::from_secs(seconds);
    if SystemTime::now() >= wanted {
        return Ok(false);
    }
    set(wanted).map(|()| true)
}

/// Sets the clock, and the one that runs on while the machine is off where there is one.
///
/// # Errors
/// The clock is not ours to set.
pub fn set(time: SystemTime) -> io::Result<()> {
    let since = time.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
    let seconds = since.as_secs().cast_signed();
    clock_settime(ClockId::Realtime, Timespec { tv_sec: seconds, tv_nsec: i64::from(since.subsec_nanos()) })?;
    if let Err(error) = keep(seconds) {
        tracing::info!(%error, "the clock of the machine itself stays as it is");
    }
    Ok(())
}

/// Seconds since 1970.
#[must_use]
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The kernel's `rtc_time` is `tm` of the C library up to its ninth number.
fn keep(seconds: i64) -> io::Result<()> {
    let rtc = File::options().read(true).open(RTC)?;
    // SAFETY: all of `tm` may be zero, and both pointers are to values that live through the calls.
    let done = unsafe {
        let mut broken: libc::tm = std::mem::zeroed();
        libc::gmtime_r(&raw const seconds, &raw mut broken);
        libc::ioctl(rtc.as_raw_fd(), RTC_SET_TIME as _, &raw const broken)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_right_is_left_alone() {
        assert!(!not_before(0).expect("nothing is set"));
        assert!(!not_before(now()).expect("nothing is set"));
    }
}
