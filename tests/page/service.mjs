// A browser behind a Service: the pod that answers it is deleted, and the page says who answers instead. See `run`.

import { execFileSync } from 'node:child_process';
import { Visit, launch } from './harness.mjs';
import { UNREACHABLE } from './registry.mjs';

const [url, namespace] = process.argv.slice(2);
const kubectl = (...words) => execFileSync('kubectl', ['--namespace', namespace, ...words], { encoding: 'utf8' });

const browser = await launch();
const visit = new Visit();
try {
  await visit.begin(browser, { viewport: { width: 1200, height: 900 } });
  await visit.open(url);
  await visit.isConnected();
  const pod = await visit.page.locator('#stops .mirror strong').textContent();
  kubectl('delete', 'pod', pod, '--wait=false');
  await visit.shows('entries', new RegExp(`answered by another replica: ${pod} to (?!${pod})echo-`));
  // Some more lines come, and none of those before, after and in between is missing.
  const before = parseInt((await visit.text('new')).replaceAll(',', ''));
  await visit.page.waitForFunction((least) => parseInt(document.getElementById('new').textContent.replaceAll(',', '')) > least, before + 2);
  await visit.shows('new', /^[\d,]+ lines, none lost, none twice$/);
  await visit.picture('pod-deleted');
  await visit.check(UNREACHABLE);
  console.log(`ok - ${pod} was deleted, and the page said: ${(await visit.page.locator('#entries li').allTextContents()).join('; ')}`);
} catch (error) {
  console.log(`FAILED - ${error.message}`);
  process.exitCode = 1;
} finally {
  await visit.end();
  await browser.close();
}
process.exit();
