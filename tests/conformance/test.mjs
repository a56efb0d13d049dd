// Runs the suite against the adapter, and compares what failed with what is named in inapplicable.mjs. See `run`.

import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';

import { adapter } from './adapter.mjs';
import { inapplicable, notOfReading } from './inapplicable.mjs';

const { MODULES, PROGRAMS } = process.env;
const folder = mkdtempSync(`${tmpdir()}/appcoup-conformance-`);
const { url, close } = await adapter(resolve(PROGRAMS, 'echo'), folder);
try {
  const results = await run();
  process.exitCode = report(results) ? 0 : 1;
} finally {
  close();
  rmSync(folder, { recursive: true });
}
process.exit();

// All results of the suite: the name with those of the groups around it, the status, the messages of what failed.
async function run() {
  // Where the suite is installed, or vitest would not find itself.
  const file = `${MODULES}/of-${process.pid}.test.mjs`;
  writeFileSync(file, `import { runConformanceTests } from '@durable-streams/server-conformance-tests';\nrunConformanceTests({ baseUrl: '${url}', longPollTimeoutMs: 40_000 });\n`);
  try {
    const options = ['run', file, '--root', MODULES, '--testTimeout=40000', '--reporter=json', `--outputFile=${folder}/results.json`];
    const vitest = spawn(`${MODULES}/node_modules/.bin/vitest`, options, { stdio: ['ignore', 'ignore', 'inherit'], timeout: 600_000 });
    await once(vitest, 'exit');
  } finally {
    rmSync(file);
  }
  const found = JSON.parse(readFileSync(`${folder}/results.json`, 'utf8'));
  return found.testResults.flatMap((each) => each.assertionResults).map(({ ancestorTitles, title, status, failureMessages }) => ({
    groups: ancestorTitles,
    name: title,
    status,
    messages: failureMessages,
  }));
}

function report(results) {
  const ofReading = results.filter(({ groups }) => !groups.some((group) => notOfReading.test(group)));
  let [passed, failed] = [0, 0];
  for (const { name, status, messages } of ofReading) {
    const reason = inapplicable[name];
    if (status === 'passed' && !reason) passed += 1;
    else if (status !== 'passed' && reason) console.log(`not applicable - ${name}: ${reason}`);
    else {
      failed += 1;
      console.log(`FAILED - ${name}`, reason ? '\n  passes, though it is named as one that cannot apply' : `\n  ${messages.join('\n  ').slice(0, 600)}`);
    }
  }
  for (const name of Object.keys(inapplicable).filter((name) => !ofReading.some((test) => test.name === name))) {
    failed += 1;
    console.log(`FAILED - ${name}: the suite has no such test`);
  }
  console.log(`ok - ${passed} of the ${ofReading.length} tests that are about reading pass; the suite has ${results.length}`);
  console.log(`${passed} passed, ${failed} failed`);
  return failed === 0;
}
