"""stub"""
from pathlib import Path
class SageMaker:
    def __init__(self, folder, emulator): pass
    def register(self): pass
    def resume(self): pass
    def stop(self): pass
