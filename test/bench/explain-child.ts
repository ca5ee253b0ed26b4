/** Explains the log at argv[2] once, as revivectl does; prints milliseconds, classes and the most memory that it took (MB). */
import { createReadStream } from 'node:fs';
import { createExplainer } from '../../daemon/doctor/explain.ts';
import { createLogReader } from '../../daemon/doctor/log-reader.ts';

const [, , file = ''] = process.argv;
const start = performance.now();
const explainer = createExplainer();
const reader = createLogReader(explainer);
for await (const chunk of createReadStream(file)) reader.push(chunk);
reader.end();
const { classes, evidence } = explainer.result();
const ms = performance.now() - start;
// maxRSS is in KiB (getrusage(2)).
const megabytes = process.resourceUsage().maxRSS / 1024;
process.stdout.write(
  JSON.stringify({ ms, megabytes, classes: classes.length, lines: evidence.length }),
);
