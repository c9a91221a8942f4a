import { defineConfig } from 'vitest/config';

const everywhere = {
  testTimeout: 30_000,
  hookTimeout: 60_000,
  restoreMocks: true,
  // The build is plain JavaScript: Node loads it faster than vite does.
  server: { deps: { external: [/\/dist\//] } },
  // No file changes anything outside of what it makes itself, so that one process may run many.
  isolate: false,
};

// Much of their time passes in waiting: for jobs, outages, and servers that stop.
const waiting = [
  'tests/cli/eval.test.ts',
  'tests/http/deepfake-video.test.ts',
  'tests/http/prompt-jobs-restart.test.ts',
  'tests/http/remote.test.ts',
  'tests/http/shutdown.test.ts',
];

export default defineConfig({
  test: {
    // Here alone: a project that extended this one would call it again.
    globalSetup: 'tests/temporary-folder.ts',
    projects: [
      {
        test: {
          ...everywhere,
          name: 'modules',
          include: ['tests/{unit,property}/**/*.test.ts'],
          maxWorkers: 2,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...everywhere,
          name: 'waiting',
          include: waiting,
          maxWorkers: 2,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...everywhere,
          name: 'servers',
          include: ['tests/{http,cli}/**/*.test.ts'],
          exclude: waiting,
          // Real servers with real models take every core: files side by side would only slow each other.
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
