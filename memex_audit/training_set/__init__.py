"""From a training set to audit prompts.

training set -> examples (`open_training_set`) -> embeddings (`load_embedder`) -> near-copies -> prompts
(`mine`), or a file of prompts (`read_prompt_file`). Importing this loads no heavy library.
"""

from memex_audit.training_set.embedding import duplicate_similarity_of, embedder_name, load_embedder
from memex_audit.training_set.index import build_index
from memex_audit.training_set.mining import MinedSet, is_mined, mine
from memex_audit.training_set.prompt_files import check_prompt_file_name, read_prompt_file, write_prompt_file
from memex_audit.training_set.prompts import prompt_id_of, select_prompts
from memex_audit.training_set.reading import open_training_set

__all__ = [
    "MinedSet",
    "build_index",
    "check_prompt_file_name",
    "duplicate_similarity_of",
    "embedder_name",
    "is_mined",
    "load_embedder",
    "mine",
    "open_training_set",
    "prompt_id_of",
    "read_prompt_file",
    "select_prompts",
    "write_prompt_file",
]
