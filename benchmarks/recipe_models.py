"""Evaluate the trained models of `recipe.py` further, without training a transformer.

Each function takes a `TrainingLab` and the name of a row, and returns results by variant."""
from pathlib import Path

from lab import TrainingLab, fast_encoder
from recipe_data import ICONS
from teacher import Teacher, rerank

from embedding_search.model.encoders import load_model
from embedding_search.model.interpolation import interpolate_weights

ALPHAS = (.3, .5, .7, .85) # Positions between base model (0) and fine-tuned model (1)


def interpolated(lab, name, alpha):
    "Interpolate base model and the model of a row."
    return interpolate_weights(load_model(), lab.model_of(name), alpha)


def compare_alphas(lab, name):
    "Evaluate positions between base model and the model of a row."
    return {f'{alpha:g}': lab.compare(lab.ranks(interpolated(lab, name, alpha))) for alpha in ALPHAS}


def compare_on_icons(lab, name):
    "Evaluate a model on the icons' dev queries; `own` is the model of the run over icons."
    icons = TrainingLab(Path(ICONS), lab.work/'icons', seed=lab.seed)
    model = load_model(f'{ICONS}/fine_tuned') if name == 'own' else lab.model_of(name)
    return {'on icons': icons.compare(icons.ranks(model))}


def compare_reranking(lab, name):
    "Evaluate a row whose first titles the cross-encoder orders, and count what it said about the negatives."
    teacher = Teacher(lab)
    ranks = rerank(lab, fast_encoder(lab.model_of(name)), teacher)
    return {'second look': lab.compare(ranks) | teacher.numbers()}


# Names as in the stored results. Their rows of `adapter`, `ngram`, `final` and `nearer` are variants of the method that
# `earlier_method.py` keeps with its final settings.
STUDIES = dict(interpolate=compare_alphas, icons=compare_on_icons, teacher=compare_reranking)
