import './style/index.css';
import { createRoot } from 'react-dom/client';
import { App } from './app.tsx';
import { speak, wantedLanguage } from './words.ts';

const root = document.getElementById('app');
if (root === null) throw new Error('index.html has an element with id "app"');
// A catalogue that cannot be loaded must not keep anyone from their work: English is always there.
await speak(wantedLanguage()).catch(() => {});
createRoot(root).render(<App />);
