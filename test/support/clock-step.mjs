// Preloaded into a process whose clock a test is to step: SIGUSR2 sets it an hour ahead, the next one an hour back, and so
// on. Like a real step it leaves the monotonic clock and all timers alone.
const HOUR_MS = 3_600_000;
const Real = Date;
let ahead = 0;

globalThis.Date = class Stepped extends Real {
  constructor(...args) {
    if (args.length === 0) super(Real.now() + ahead);
    else super(...args);
  }

  static now() {
    return Real.now() + ahead;
  }
};

process.on('SIGUSR2', () => {
  ahead = ahead > 0 ? -HOUR_MS : HOUR_MS;
  console.error(`clock: stepped to ${new Date().toISOString()}`);
});
