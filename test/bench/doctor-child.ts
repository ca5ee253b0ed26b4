/** Judges the captured host at argv[2] once, as revivectl does; prints milliseconds and findings as JSON. */
import { examine, reportJson, reportOf } from '../../daemon/doctor/doctor.ts';

const [, , root = ''] = process.argv;
const start = performance.now();
const report = reportOf(examine(root));
const text = JSON.stringify(reportJson(report));
const ms = performance.now() - start;
if (report.cards.length < 64 || report.host.domains.length !== 256) {
  throw new Error('that is not the whole host');
}
process.stdout.write(JSON.stringify({ ms, findings: report.findings.length, bytes: text.length }));
