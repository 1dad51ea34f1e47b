//! How much of a message the proxy keeps in memory and on disk.

use super::problems::Problems;
use super::units;
use super::values::Values;

/// Bytes a message head may never exceed, whatever the settings say.
pub(super) const MAX_HEAD_SIZE: u64 = 16 << 20;

/// Sizes in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bodies {
    /// The largest response head of an upstream.
    pub max_response_head: usize,
    /// A buffered request body goes to a file beyond this.
    pub request_memory: usize,
    /// A response that its client reads slowly goes to a file beyond this.
    pub response_memory: usize,
    /// The largest file of one response; 0 is none at all.
    pub response_file: u64,
    /// All files together; 0 is no limit.
    pub files: u64,
}

impl Bodies {
    pub(super) fn resolve(values: &Values, problems: &mut Problems) -> Bodies {
        let mut size = |key: &str, most: u64| {
            let size = values.size(key).unwrap_or_default();
            if size > most {
                problems.violation(format!("{key} must be {}m at most", most >> 20));
            }
            size.min(most)
        };
        let head = size("nginx_proxy_proxy_buffer_size", MAX_HEAD_SIZE) as usize;
        let request_memory = size("nginx_proxy_client_body_buffer_size", MAX_MEMORY) as usize;
        let (buffer, buffers) = proxy_buffers(values, problems);
        Bodies {
            // Who raises one of the two usually raises both.
            max_response_head: head.max(buffer),
            request_memory,
            response_memory: buffers,
            response_file: values
                .size("nginx_proxy_proxy_max_temp_file_size")
                .unwrap_or_default(),
            files: values.size("body_files_max_size").unwrap_or_default(),
        }
    }
}

/// Memory that one body may take, whatever the settings say.
const MAX_MEMORY: u64 = 1 << 30;

/// `8 4k`: the size of one buffer, and of all of them.
fn proxy_buffers(values: &Values, problems: &mut Problems) -> (usize, usize) {
    const KEY: &str = "nginx_proxy_proxy_buffers";
    let text = values.text(KEY).unwrap_or_default();
    let parsed = text.split_once(' ').and_then(|(count, each)| {
        let count = count.parse::<u64>().ok().filter(|count| *count > 0)?;
        let each = units::size(each.trim()).filter(|size| (256..=MAX_HEAD_SIZE).contains(size))?;
        let total = count
            .checked_mul(each)
            .filter(|total| *total <= MAX_MEMORY)?;
        Some((each as usize, total as usize))
    });
    parsed.unwrap_or_else(|| {
        problems.violation(format!(
            "nginx_http_proxy_buffers or {KEY} must be a number and a size such as '8 4k', 1g in all at most, got '{text}'"
        ));
        (0, 0)
    })
}
