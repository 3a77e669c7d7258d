// The figures that `cargo xtask test` reads (deploy/xtask/src/tally.rs), and who was skipped or failed, by name.
import type { Reporter, Suite, TestCase } from '@playwright/test/reporter';

export default class Tally implements Reporter {
  private tests: TestCase[] = [];

  onBegin(_config: unknown, suite: Suite): void {
    this.tests = suite.allTests();
  }

  onEnd(): void {
    let [passed, failed, skipped] = [0, 0, 0];
    for (const test of this.tests) {
      // File and title, without the project's empty name at the front.
      const name = test.titlePath().filter(Boolean).join(' › ');
      // A test that never came to its turn (the run was broken off) has no result, and did not pass.
      const outcome = test.results.length === 0 ? 'unexpected' : test.outcome();
      if (outcome === 'expected') {
        passed += 1;
      } else if (outcome === 'skipped') {
        skipped += 1;
        const reason = test.annotations.find((it) => it.type === 'skip' || it.type === 'fixme')?.description;
        console.log(`e2e skipped: ${name}: ${reason ?? 'no reason given'}`);
      } else {
        failed += 1;
        console.log(`e2e failed: ${name}`);
      }
    }
    console.log(`e2e: ${passed} passed, ${failed} failed, ${skipped} skipped`);
  }
}
