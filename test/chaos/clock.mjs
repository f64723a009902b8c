// Loaded into a driver before anything else: on SIGUSR2 its wall clock leaps by what the file says, in milliseconds.
import { readFileSync } from 'node:fs';

const RealDate = Date;
let shift = 0;
process.on('SIGUSR2', () => {
  shift = Number(readFileSync(process.env.CHAOS_CLOCK, 'utf8'));
});

globalThis.Date = class extends RealDate {
  constructor(...given) {
    if (given.length === 0) super(RealDate.now() + shift);
    else super(...given);
  }

  static now() {
    return RealDate.now() + shift;
  }
};
