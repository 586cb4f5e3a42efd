import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { defineConfig } from 'vite';

const { version, dependencies } = JSON.parse(readFileSync('package.json', 'utf8')), outDir = '../embedding_search/web', dist = 'node_modules/onnxruntime-web/dist/';
const glue = `ort-${dependencies['onnxruntime-web']}.mjs`;
const define = { __ENGINE__: JSON.stringify(version), __ORT_GLUE__: JSON.stringify(glue), __KERNEL__: JSON.stringify(readFileSync('src/kernel.wasm', 'base64')) };

/** The runtime beside the code: its glue as an asset, its binary where the site is built from. */
const runtime = {
  name: 'runtime',
  writeBundle() {
    copyFileSync(dist + 'ort-wasm-simd-threaded.mjs', `${outDir}/assets/${glue}`);
    copyFileSync(dist + 'ort-wasm-simd-threaded.wasm', `${outDir}/runtime.wasm`);
    copyFileSync('src/types.d.ts', `${outDir}/embedding-search.d.ts`);
  },
};

export default defineConfig(({ mode }) => mode === 'sw'
  ? { define, build: { outDir, emptyOutDir: false, target: 'es2022', lib: { entry: 'src/sw.js', formats: ['iife'], name: 'sw', fileName: () => 'sw.js' } } }
  : { base: './', define, plugins: [runtime], resolve: { conditions: ['onnxruntime-web-use-extern-wasm', 'module', 'browser', 'production'] },
      build: { outDir, emptyOutDir: true, target: 'es2022', modulePreload: false, rollupOptions: {
        input: { page: 'index.html', 'embedding-search': 'src/embedding-search.js', worker: 'src/worker.js' }, preserveEntrySignatures: 'exports-only',
        output: { entryFileNames: '[name].js', chunkFileNames: 'assets/[name]-[hash].js', assetFileNames: 'assets/[name]-[hash][extname]' } } } });
