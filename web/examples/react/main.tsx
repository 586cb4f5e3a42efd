import 'embedding-search';
import type { EmbeddingSearchElement, EmbeddingSearchEventMap } from 'embedding-search';
import { useState, type DetailedHTMLProps, type HTMLAttributes } from 'react';
import { createRoot } from 'react-dom/client';

type Properties = DetailedHTMLProps<HTMLAttributes<EmbeddingSearchElement>, EmbeddingSearchElement> & {
  base?: string;
  label?: string;
  strings?: Partial<EmbeddingSearchElement['strings']>;
  onpick?: (event: EmbeddingSearchEventMap['pick']) => void;
};

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'embedding-search': Properties;
    }
  }
}

const strings = { placeholder: 'What do you need?' };

function Order() {
  const [ordered, setOrdered] = useState<string[]>([]);
  return (
    <main>
      <h1>Parts</h1>
      <embedding-search
        base="search/"
        label="Search parts"
        strings={strings}
        onpick={({ detail }) => setOrdered([...ordered, detail.title])}
      />
      <p>Ordered: {ordered.join(', ') || 'nothing yet'}</p>
    </main>
  );
}

const app = document.getElementById('app');
if (app) createRoot(app).render(<Order />);
