/** The house rules: any output is a failure. */
import process from 'node:process';
import { busPolicyRule } from './bus-policy.ts';
import { docstringsRule } from './docstrings.ts';
import { forbiddenRule } from './forbidden.ts';
import { layersRule } from './layers.ts';
import { lengthRule } from './length.ts';
import { polkitRule } from './polkit.ts';
import { quirksRule } from './quirks.ts';
import { topLevelRule } from './top-level.ts';
import { readTree } from './tree.ts';

const tree = readTree(process.cwd());
const complaints = [
  busPolicyRule,
  docstringsRule,
  forbiddenRule,
  layersRule,
  lengthRule,
  polkitRule,
  quirksRule,
  topLevelRule,
].flatMap((rule) => rule(tree));
for (const complaint of complaints) process.stdout.write(`${complaint}\n`);
process.exitCode = complaints.length === 0 ? 0 : 1;
