import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    globalSetup: 'tests/temporary-folder.ts',
    testTimeout: 30_000,
    hookTimeout: 60_000,
    restoreMocks: true,
    // The build is plain JavaScript: Node loads it faster than vite does.
    server: { deps: { external: [/\/dist\//] } },
    // No file changes anything outside of what it makes itself, so that one process may run many.
    isolate: false,
    projects: [
      {
        extends: true,
        test: {
          name: 'modules',
          include: ['tests/{unit,property}/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: 'servers',
          include: ['tests/{http,cli}/**/*.test.ts'],
          // Real servers with real models take every core: files side by side would only slow each other.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
