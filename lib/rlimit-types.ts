/** A number sets the soft and the hard limit; 'unlimited' is RLIM_INFINITY. setrlimit(2). */
export type RlimitValue = number | 'unlimited';
/** A resource of setrlimit(2), without RLIMIT_. */
export type RlimitName =
  | 'as'
  | 'core'
  | 'cpu'
  | 'data'
  | 'fsize'
  | 'locks'
  | 'memlock'
  | 'msgqueue'
  | 'nice'
  | 'nofile'
  | 'nproc'
  | 'rss'
  | 'rtprio'
  | 'rttime'
  | 'sigpending'
  | 'stack';
/** Limits by resource. What is left out is inherited. */
export type Rlimits = { [K in RlimitName]?: RlimitValue | { soft: RlimitValue; hard: RlimitValue } };
