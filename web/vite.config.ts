// `vite build` builds the page, the element and the worker; `--mode sw` the service worker; `--mode package` the npm package.
import { copyFileSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Plugin, UserConfig } from 'vite';
import { defineConfig } from 'vitest/config';

interface PackageFile {
  version: string;
  devDependencies: Record<string, string>;
}

const folder = fileURLToPath(new URL('.', import.meta.url));
const outDir = `${folder}../embedding_search/web`;
const runtime = `${folder}node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded`;
const { version, devDependencies } = JSON.parse(readFileSync(`${folder}package.json`, 'utf8')) as PackageFile;
const glue = `ort-${devDependencies['onnxruntime-web']}.mjs`;

const define = {
  __ENGINE__: JSON.stringify(version),
  __ORT_GLUE__: JSON.stringify(glue),
  __KERNEL__: JSON.stringify(readFileSync(`${folder}build/kernel.wasm`, 'base64')),
};

/** Copy the runtime next to the code: its glue as an asset, its binary for the site to pack. */
const copyRuntime: Plugin = {
  name: 'copy-runtime',
  writeBundle() {
    copyFileSync(`${runtime}.mjs`, `${outDir}/assets/${glue}`);
    copyFileSync(`${runtime}.wasm`, `${outDir}/runtime.wasm`);
    copyFileSync(`${folder}build/embedding-search.d.ts`, `${outDir}/embedding-search.d.ts`);
  },
};

const page: UserConfig = {
  base: './',
  define,
  plugins: [copyRuntime],
  resolve: { conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production'] },
  build: {
    outDir,
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: false,
    rolldownOptions: {
      input: {
        page: 'index.html',
        'embedding-search': 'src/embedding-search.ts',
        worker: 'src/worker/worker.ts',
        encoder: 'src/worker/encoder.ts',
      },
      preserveEntrySignatures: 'exports-only',
      output: {
        entryFileNames: '[name].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
};

const serviceWorker: UserConfig = {
  define,
  build: {
    outDir,
    emptyOutDir: false,
    target: 'es2022',
    lib: { entry: 'src/worker/service-worker.ts', formats: ['iife'], name: 'sw', fileName: () => 'sw.js' },
  },
};

const npmPackage: UserConfig = {
  define,
  build: {
    outDir: 'dist',
    emptyOutDir: true,
    target: 'es2022',
    lib: { entry: 'src/embedding-search.ts', formats: ['es'], fileName: 'embedding-search' },
  },
};

const CONFIGS: Record<string, UserConfig | undefined> = { sw: serviceWorker, package: npmPackage };

export default defineConfig(({ mode }) => CONFIGS[mode] ?? { ...page, test: { include: ['test/**/*.test.ts'] } });
