// Loaded into a measured Node process before its program: writes what the process used, when it ends,
// to the file that MEASURE_PEAK names.

import { writeFileSync } from "node:fs";

process.on("exit", () => {
  const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
  const cpuMs = (userCPUTime + systemCPUTime) / 1_000;
  writeFileSync(process.env.MEASURE_PEAK, JSON.stringify({ peakBytes: maxRSS * 1_024, cpuMs }));
});
